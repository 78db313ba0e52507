internal import Core
internal import NIOSSL

#if canImport(Glibc)
    internal import Glibc
#endif

/// Reads certificates and keys. Blocking: not for event loops.
enum TLSFiles {
    /// Of one file; the authorities of a whole system take about 220 kB.
    static let fileBytesMax = 4 << 20

    /// What distinguishes a file from the one that was there before.
    struct Stamp: Sendable, Hashable {
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let modifiedNanoseconds: Int64
        let changedNanoseconds: Int64

        /// nil when there is no such file.
        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            modifiedNanoseconds = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
            changedNanoseconds = Int64(status.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_ctim.tv_nsec)
        }
    }

    /// The certificates of a PEM file. `what` says what they are for, e.g. `certificate`.
    /// - Throws: `Failure` FAILED_PRECONDITION `TLS_FILE`.
    static func certificates(_ path: String, _ what: String) throws(Failure) -> [NIOSSLCertificate] {
        let bytes = try read(path, what)
        do {
            return try NIOSSLCertificate.fromPEMBytes(bytes)
        } catch {
            throw unusable(
                path, what, "holds no PEM certificate, or a damaged one",
                "It must have blocks that begin with -----BEGIN CERTIFICATE-----.")
        }
    }

    /// A certificate chain that is valid now, and its key.
    /// - Throws: `Failure` FAILED_PRECONDITION `TLS_FILE`, `TLS_CERTIFICATE_EXPIRED` or `TLS_CERTIFICATE_NOT_YET_VALID`.
    static func identity(_ identity: TLSIdentity) throws(Failure) -> (chain: [NIOSSLCertificate], key: NIOSSLPrivateKey)
    {
        let chain = try certificates(identity.certificatePath, "certificate")
        if let leaf = chain.first, let failure = CertificateText.outOfTime(leaf, "in \(identity.certificatePath)") {
            throw failure
        }
        return (chain, try key(identity.keyPath))
    }

    private static func key(_ path: String) throws(Failure) -> NIOSSLPrivateKey {
        let bytes = try read(path, "key")
        // BoringSSL would ask for a passphrase at the terminal.
        guard !String(decoding: bytes, as: UTF8.self).contains("ENCRYPTED") else {
            throw unusable(
                path, "key", "is protected by a passphrase",
                "Write it without one, readable only by the service: openssl pkey -in \(path) -out NEW.")
        }
        do {
            return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
        } catch {
            throw unusable(
                path, "key", "holds no PEM private key, or a damaged one",
                "It must have a block that begins with -----BEGIN PRIVATE KEY-----, or EC or RSA before PRIVATE.")
        }
    }

    /// A context of `configuration`; the only thing left to be wrong is that the two files do not belong together.
    static func context(_ configuration: TLSConfiguration, _ identity: TLSIdentity?) throws(Failure) -> NIOSSLContext {
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            guard let identity else {
                throw Failure(
                    .failedPrecondition, reason: "TLS_FILE",
                    "The certificates of the system's authorities cannot be used: \(error).",
                    remedy: "Install the package ca-certificates, or set rpc.tls-ca.")
            }
            throw Failure(
                .failedPrecondition, reason: "TLS_KEY_MISMATCH",
                "The key in \(identity.keyPath) does not belong to the certificate in \(identity.certificatePath).",
                remedy:
                    "Set the key that the certificate was requested with; the server's certificate comes first in its file."
            )
        }
    }

    /// Whether users who are neither the owner nor in the group may read the file.
    static func isReadableByAll(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & 0o004 != 0
    }

    private static func read(_ path: String, _ what: String) throws(Failure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path, what, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw unreadable(path, what, errno)
            }
            if count == 0 { return bytes }
            bytes.append(contentsOf: buffer[..<count])
            guard bytes.count <= fileBytesMax else {
                throw unusable(path, what, "is larger than \(fileBytesMax) bytes", "Is it the right file?")
            }
        }
    }

    private static func unreadable(_ path: String, _ what: String, _ code: Int32) -> Failure {
        unusable(
            path, what, "cannot be read: \(String(cString: strerror(code)))",
            code == EACCES
                ? "Let the user of this process read it."
                : "Correct the path in the configuration, or put the file there.")
    }

    private static func unusable(_ path: String, _ what: String, _ why: String, _ remedy: String) -> Failure {
        Failure(.failedPrecondition, reason: "TLS_FILE", "The \(what) file \(path) \(why).", remedy: remedy)
    }
}
