internal import Core
internal import NIOSSL

/// Turns what the TLS library says into what happened, to whom, and what to do.
struct TLSProblem: Sendable {
    /// Which end we are.
    enum Side: Sendable {
        /// `serverName` is what the certificate had to be for; `caPath` the authorities, nil for the system's.
        case client(serverName: String, caPath: String?, showsCertificate: Bool)
        case server
    }

    let side: Side
    /// The other end, for messages.
    let peer: String

    /// - Parameter certificate: what the peer showed, as far as it came.
    func failure(_ error: any Error, certificate: NIOSSLCertificate?) -> Failure {
        if let failure = error as? Failure { return failure }
        if error as? NIOSSLExtraError == .failedToValidateHostname { return wrongName(certificate) }
        if error as? NIOSSLError == .cannotFindPeerIP || error as? NIOSSLExtraError == .serverHostnameImpossibleToMatch
        {
            return wrongName(certificate)
        }
        let words = Self.words(error)
        if words.contains("CERTIFICATE_VERIFY_FAILED") { return untrusted(certificate) }
        if words.contains("PEER_DID_NOT_RETURN_A_CERTIFICATE") {
            return Failure(
                .unauthenticated, reason: "TLS_CLIENT_CERTIFICATE",
                "\(peer) showed no certificate, and this port takes no connection without one.",
                remedy: "Set rpc.tls-client-certificate and rpc.tls-client-key there.")
        }
        if words.contains("WRONG_VERSION_NUMBER") || words.contains("HTTP_REQUEST") { return noTLS }
        if let alert = words.lazy.compactMap(Self.alert).first { return refused(alert) }
        if words.contains("UNSUPPORTED_PROTOCOL") || words.contains("NO_SHARED_CIPHER") { return noCommon(words) }
        return interrupted(words)
    }

    // MARK: What a peer's certificate lacks

    private func wrongName(_ certificate: NIOSSLCertificate?) -> Failure {
        guard case .client(let serverName, _, _) = side, let certificate else { return untrusted(certificate) }
        return Failure(
            .failedPrecondition, reason: "TLS_WRONG_HOST",
            "\(peer) is not trusted: its certificate is for \(CertificateText.serverNames(certificate)), not for \(serverName).",
            remedy: "Use an address that the certificate names, or set rpc.tls-server-name to one of its names.")
    }

    private func untrusted(_ certificate: NIOSSLCertificate?) -> Failure {
        if let certificate, let failure = CertificateText.outOfTime(certificate, "of \(peer)") {
            var failure = failure
            if failure.reason == "TLS_CERTIFICATE_EXPIRED" { failure.remedy = "It must be renewed there." }
            return failure
        }
        let issuer = certificate.map { "was issued by \"\(CertificateText.issuer($0))\"" } ?? "is not valid"
        switch side {
        case .client(_, let caPath, _):
            let trusted = caPath.map { "the authorities in \($0)" } ?? "the system's authorities"
            return Failure(
                .failedPrecondition, reason: "TLS_UNKNOWN_CA",
                "\(peer) is not trusted: its certificate \(issuer), which does not lead to \(trusted).",
                remedy: "Set rpc.tls-ca to the certificate of the authority that issued it.")
        case .server:
            return Failure(
                .unauthenticated, reason: "TLS_UNKNOWN_CA",
                "\(peer) is not trusted: its certificate \(issuer), which does not lead to the authorities in rpc.tls-client-ca.",
                remedy: "Give the client a certificate of one of them, or add its authority there.")
        }
    }

    // MARK: What the peer says of us

    private func refused(_ alert: String) -> Failure {
        guard case .client(_, _, let showsCertificate) = side else {
            return Failure(
                .unavailable, reason: "TLS_REFUSED", "\(peer) ended the handshake: \(alert).",
                remedy: alert.contains("ca") || alert.contains("certificate")
                    ? "Does the client trust the authority of this service's certificate (rpc.tls-ca there)?" : "")
        }
        guard alert.contains("certificate") || alert.contains("ca") || alert == "access denied" else {
            return Failure(.unavailable, reason: "TLS_REFUSED", "\(peer) ended the TLS connection: \(alert).")
        }
        return Failure(
            .unauthenticated, reason: "TLS_CLIENT_CERTIFICATE",
            showsCertificate
                ? "\(peer) does not take this client's certificate: \(alert)."
                : "\(peer) takes only clients with a certificate: \(alert).",
            remedy: showsCertificate
                ? "Use a certificate of an authority that the service trusts (rpc.tls-client-ca there) and that has not expired."
                : "Set rpc.tls-client-certificate and rpc.tls-client-key.")
    }

    /// The alert in a word of the library, e.g. `unknown ca` of `TLSV1_ALERT_UNKNOWN_CA`; nil when it is none.
    private static func alert(_ word: Substring) -> String? {
        guard let range = word.firstRange(of: "ALERT_"), word.hasPrefix("TLSV1") || word.hasPrefix("SSLV3") else {
            return nil
        }
        return word[range.upperBound...].split(separator: "_").joined(separator: " ").lowercased()
    }

    // MARK: Everything else

    private var noTLS: Failure {
        switch side {
        case .client:
            Failure(
                .failedPrecondition, reason: "TLS_NOT_SPOKEN", "\(peer) does not speak TLS on this port.",
                remedy:
                    "Write acp:// if the network is trusted, or give the service rpc.tls-certificate and rpc.tls-key.")
        case .server:
            Failure(.unavailable, reason: "TLS_NOT_SPOKEN", "\(peer) began a TLS handshake with bytes that are none.")
        }
    }

    private func noCommon(_ words: [Substring]) -> Failure {
        Failure(
            .failedPrecondition, reason: "TLS_VERSION",
            "\(peer) has no version of TLS or no cipher that this end takes: \(words.joined(separator: ", ")).",
            remedy: "TLS 1.3 is needed, or TLS 1.2 with ECDHE and AES-GCM or ChaCha20.")
    }

    /// The connection ended before the handshake did.
    func interrupted(_ words: [Substring] = []) -> Failure {
        let detail = words.isEmpty ? "" : " (\(words.joined(separator: ", ")))"
        return Failure(
            .unavailable, reason: "TLS_HANDSHAKE", "The TLS handshake with \(peer) was not finished\(detail).",
            remedy: "Try again; is it the right port?")
    }

    func timedOut(seconds: Int) -> Failure {
        Failure(
            .unavailable, reason: "TLS_HANDSHAKE",
            "The TLS handshake with \(peer) was not finished within \(seconds) s.",
            remedy: "Try again; is it the right port?")
    }

    /// The server closed before it said anything. With TLS 1.3 it verifies the client's certificate only after the client is done, and what
    /// it says of it may be lost.
    var closedAtOnce: Failure {
        Failure(
            .unavailable, reason: "TLS_CLOSED", "\(peer) closed the connection right after the TLS handshake.",
            remedy:
                "Try again; if it asks for certificates, are rpc.tls-client-certificate and rpc.tls-client-key right?")
    }

    /// The library's names of what went wrong: the last part of `error:10000123:SSL routines:OPENSSL_internal:NAME at file:line`.
    private static func words(_ error: any Error) -> [Substring] {
        var stack: [BoringSSLInternalError] = []
        switch error as? BoringSSLError ?? Self.cause(error) {
        case .sslError(let errors), .unknownError(let errors): stack = errors
        default: break
        }
        return stack.compactMap { error in
            let text = error.description
            let name = text.firstRange(of: " at ").map { text[..<$0.lowerBound] } ?? text[...]
            let last = name.split(separator: ":").last ?? ""
            return last.contains("EOF") ? nil : last
        }
    }

    private static func cause(_ error: any Error) -> BoringSSLError? {
        switch error as? NIOSSLError {
        case .handshakeFailed(let cause), .shutdownFailed(let cause): cause
        default: nil
        }
    }
}
