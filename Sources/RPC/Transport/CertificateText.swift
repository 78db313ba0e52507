internal import Core
internal import NIOSSL

/// What a certificate says, as text for people and logs. All of it was written by somebody else: only printable ASCII is kept.
enum CertificateText {
    /// Who the certificate is for.
    static func peer(_ certificate: NIOSSLCertificate) -> PeerCertificate {
        let names = certificate._subjectAlternativeNames()
        let kinds: [_SubjectAlternativeName.NameType] = [.dnsName, .uri, .email]
        let texts = kinds.flatMap { kind in names.lazy.filter { $0.nameType == kind }.map { printable($0.contents) } }
        return PeerCertificate(
            commonName: commonName(certificate.subjectName),
            alternativeNames: Array(texts.prefix(PeerCertificate.namesMax)))
    }

    /// All that a client may call the server by, for messages.
    static func serverNames(_ certificate: NIOSSLCertificate) -> String {
        var texts: [String] = []
        for name in certificate._subjectAlternativeNames().prefix(PeerCertificate.namesMax) {
            switch name.nameType {
            case .dnsName: texts.append(printable(name.contents))
            case .ipAddress: texts.append(address(Array(name.contents)))
            default: break
            }
        }
        if texts.isEmpty { texts.append(commonName(certificate.subjectName)) }
        return texts.joined(separator: ", ")
    }

    static func issuer(_ certificate: NIOSSLCertificate) -> String {
        let name = commonName(certificate.issuerName)
        return name.isEmpty ? certificate.issuerName.map { printable($0.value.utf8) }.joined(separator: ", ") : name
    }

    /// The failure of a certificate whose time has passed or not come; nil for one that is valid now. `place` follows `The certificate`.
    static func outOfTime(_ certificate: NIOSSLCertificate, _ place: String, now: WallTime = .now()) -> Failure? {
        let seconds = now.microseconds / 1_000_000
        if Int64(certificate.notValidAfter) < seconds {
            return Failure(
                .failedPrecondition, reason: "TLS_CERTIFICATE_EXPIRED",
                "The certificate \(place) expired on \(time(Int64(certificate.notValidAfter))).",
                remedy: "Renew it; a changed file is read without a restart.")
        }
        if Int64(certificate.notValidBefore) > seconds {
            return Failure(
                .failedPrecondition, reason: "TLS_CERTIFICATE_NOT_YET_VALID",
                "The certificate \(place) is valid only from \(time(Int64(certificate.notValidBefore))).",
                remedy: "Set this machine's clock, or wait.")
        }
        return nil
    }

    static func expiry(_ certificate: NIOSSLCertificate) -> String { time(Int64(certificate.notValidAfter)) }

    /// RFC 3339 to the second.
    private static func time(_ seconds: Int64) -> String {
        WallTime(microseconds: seconds &* 1_000_000).rfc3339.prefix(19) + "Z"
    }

    private static func commonName(_ names: [SSLCertificateName]) -> String {
        // The last one is the most specific.
        names.last { $0.type == .commonName }.map { printable($0.value.utf8) } ?? ""
    }

    private static func printable(_ bytes: some Sequence<UInt8>) -> String {
        String(
            decoding: bytes.prefix(PeerCertificate.nameCharactersMax).map {
                (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?")
            }, as: UTF8.self)
    }

    private static func address(_ bytes: [UInt8]) -> String {
        if bytes.count == 4 { return bytes.map { String($0) }.joined(separator: ".") }
        return stride(from: 0, to: bytes.count - 1, by: 2)
            .map { String(Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]), radix: 16) }.joined(separator: ":")
    }
}
