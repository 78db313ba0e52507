import Core
import Foundation
import Glibc
import NIOCore
import Testing

@testable import RPC

/// Which certificate serves while files change.
@Suite struct TLSRotationTests {
    private typealias Rotation = TLSRotation<String, Int>

    private static func time(_ seconds: Int) -> MonotonicTime {
        MonotonicTime(nanoseconds: UInt64(seconds) * 1_000_000_000)
    }
    private static let broken = Failure(.failedPrecondition, reason: "TLS_FILE", "broken")

    private func text(_ outcome: Rotation.Outcome) -> String {
        switch outcome {
        case .nothing: "nothing"
        case .changed(let content): "changed \(content)"
        case .kept(let failure): "kept \(failure.message)"
        }
    }

    @Test func aGoodChangeIsUsedAndABadOneIsReportedOnce() {
        var rotation = Rotation(checkSeconds: 2)
        #expect(!rotation.isFresh(now: Self.time(0)))
        #expect(text(rotation.read(.success("first"), [1, 1], now: Self.time(10))) == "changed first")
        #expect(rotation.isFresh(now: Self.time(11)))
        #expect(!rotation.isFresh(now: Self.time(12)))

        #expect(!rotation.mustRead([1, 1]))
        rotation.found(now: Self.time(12))
        #expect(rotation.isFresh(now: Self.time(13)))

        #expect(rotation.mustRead([2, 1]))
        #expect(text(rotation.read(.failure(Self.broken), [2, 1], now: Self.time(14))) == "kept broken")
        #expect(rotation.content == "first")
        #expect(rotation.isFresh(now: Self.time(15)))

        // Tried again at the next look, without a second report.
        #expect(rotation.mustRead([2, 1]))
        #expect(text(rotation.read(.failure(Self.broken), [2, 1], now: Self.time(16))) == "nothing")
        #expect(text(rotation.read(.failure(Self.broken), [2, nil], now: Self.time(18))) == "kept broken")

        #expect(text(rotation.read(.success("second"), [2, 2], now: Self.time(20))) == "changed second")
        #expect(rotation.failure == nil)
        #expect(!rotation.mustRead([2, 2]))
    }

    @Test func goingBackToTheOldFilesEndsTheFailure() {
        var rotation = Rotation(checkSeconds: 2)
        _ = rotation.read(.success("first"), [1], now: Self.time(0))
        _ = rotation.read(.failure(Self.broken), [2], now: Self.time(2))
        #expect(rotation.mustRead([1]))
        #expect(text(rotation.read(.success("first"), [1], now: Self.time(4))) == "changed first")
        #expect(!rotation.mustRead([1]))
    }

    @Test func theFirstFailureIsForWhoAskedAndIsNotReported() {
        var rotation = Rotation(checkSeconds: 2)
        #expect(text(rotation.read(.failure(Self.broken), [nil], now: Self.time(0))) == "nothing")
        #expect(rotation.failure == Self.broken)
        #expect(!rotation.isFresh(now: Self.time(0)))
        #expect(rotation.mustRead([nil]))
    }

    @Test func anExpiredLookIsNotFresh() {
        var rotation = Rotation(checkSeconds: 2)
        _ = rotation.read(.success("first"), [1], now: Self.time(0))
        rotation.expire()
        #expect(!rotation.isFresh(now: Self.time(0)))
        #expect(rotation.content == "first")
    }

    @Test(.enabled(if: TestCertificates.isAvailable, Comment(rawValue: TestCertificates.skipped)))
    func theNextConnectionGetsTheCertificateThatWasPutThere() async throws {
        let files = try TestCertificates.shared.get()
        let folder = try files.makeDirectory()
        func put(_ name: String, certificate: Bool = true, key: Bool = true) throws {
            // As tools that renew certificates do: a new file takes the place of the old one.
            for (suffix, wanted) in [("pem", certificate), ("key", key)] where wanted {
                let bytes = try Data(contentsOf: URL(fileURLWithPath: files.path("\(name).\(suffix)")))
                try bytes.write(to: URL(fileURLWithPath: "\(folder)/server.\(suffix)"), options: .atomic)
            }
        }
        try put("server")
        var tls = ServerTLS(
            identity: TLSIdentity(certificatePath: "\(folder)/server.pem", keyPath: "\(folder)/server.key"))
        tls.checkSeconds = 0
        try await TLSSystem.with(tls) { system in
            let (old, new) = (try TLSSystem.clientTLS(), try TLSSystem.clientTLS(ca: "other-ca"))
            #expect(try await system.call(old).first == "encrypted")

            // Half of a renewal: the old pair serves on, and that is said once.
            try put("moved-server", key: false)
            #expect(try await system.call(old).first == "encrypted")
            #expect(try await system.call(old).first == "encrypted")
            #expect(system.events.kept.map(\.reason) == ["TLS_KEY_MISMATCH"])
            let refused = await failure { try await system.server.reloadCertificates() }
            #expect(refused?.reason == "TLS_KEY_MISMATCH")

            try put("moved-server")
            #expect(try await system.call(new).first == "encrypted")
            #expect(await failure { try await system.call(old) }?.reason == "TLS_UNKNOWN_CA")
            #expect(system.events.loaded.count == 2)

            try FileManager.default.removeItem(atPath: "\(folder)/server.pem")
            #expect(try await system.call(new).first == "encrypted")
            #expect(system.events.kept.last?.message.contains("server.pem cannot be read") == true)
        }
    }

    /// A look at the files that takes for ever: the certificate is a pipe that nobody writes to.
    @Test(.enabled(if: TestCertificates.isAvailable, Comment(rawValue: TestCertificates.skipped)))
    func whatComesWhileFilesAreReadIsHeldToTheByte() async throws {
        let files = try TestCertificates.shared.get()
        let folder = try files.makeDirectory()
        let certificate = "\(folder)/server.pem"
        try FileManager.default.copyItem(atPath: files.path("server.pem"), toPath: certificate)
        var tls = ServerTLS(identity: TLSIdentity(certificatePath: certificate, keyPath: files.path("server.key")))
        tls.checkSeconds = 0
        // No handshake of this test is to end for lack of time.
        try await TLSSystem.with(tls) {
            $0.limits.helloSeconds = 60
        } _: { system in
            try FileManager.default.removeItem(atPath: certificate)
            #expect(mkfifo(certificate, 0o600) == 0)
            let first: [UInt8] = [0x16] + Array(repeating: 0, count: ProtocolSniffer.heldBytesMax - 1)
            let held = try await PortPeer.open(system, first)
            let tooMuch = try await PortPeer.open(system, first + [0])
            while tooMuch.isActive { await Task.yield() }
            #expect(held.isActive)
            try await held.writeAndFlush(ByteBuffer(bytes: [0]))
            while held.isActive { await Task.yield() }
            // Nobody can have opened the pipe but the look; it ends, and finds no certificate in what it read.
            let pipe = open(certificate, O_WRONLY)
            #expect(pipe >= 0)
            close(pipe)
            try FileManager.default.removeItem(atPath: certificate)
            #expect(try await system.call(TLSSystem.clientTLS()).first == "encrypted", "the old one serves on")
        }
    }
}
