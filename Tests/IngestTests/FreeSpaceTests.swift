import Core
import Glibc
import Logging
import RPC
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Ingest

@Suite struct FreeSpaceTests {
    /// More than any disk has free, so that every disk is nearly full.
    private static let everything = 900_000_000_000

    @Test func belowTheReserveNothingIsTakenInAndTheMessageSaysWhy() async throws {
        try await withSystem(adjust: { $0.freeBytesMin = Self.everything }) { system in
            let uploaded = await failure { _ = try await system.upload("a.txt", "granite") }
            let pasted = await failure {
                _ = try await system.ingest.pasteDocument(PasteDocumentRequest(text: "granite"))
            }
            for refused in [uploaded, pasted] {
                #expect(refused?.reason == Failure.diskFull && refused?.code == .resourceExhausted)
                #expect(refused?.message.contains(system.directory) == true)
                #expect(refused?.remedy.contains("Free space") == true)
            }
            try await system.expectRows([0, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test func anUploadNeedsRoomForItselfBesides() async throws {
        var measured = statvfs()
        #expect(statvfs("/tmp", &measured) == 0)
        let free = Int(measured.f_bavail) * Int(measured.f_frsize)
        let thread = WorkThread()
        let space = FreeSpace(directory: "/tmp", reserveBytes: 1, thread: thread)
        try await space.checkUpload(of: 1000)
        #expect(await failure { try await space.checkUpload(of: free) }?.reason == Failure.diskFull)
        #expect(await space.allowsProcessing())
        let nothing = FreeSpace(directory: "/tmp", reserveBytes: 0, thread: thread)
        try await nothing.checkUpload(of: free)
        let unknown = FreeSpace(directory: "/nonexistent", reserveBytes: Self.everything, thread: thread)
        try await unknown.checkUpload(of: 1000)
        thread.stop()
    }

    @Test(
        .enabled(
            if: TestSystem.extractorPath != nil, "acp-extract is not built, or ACP_BIN_DIR does not name its directory")
    )
    func aWorkerBeginsNothingOnAFullDiskAndSaysSo() async throws {
        let url = try await TestPostgres.shared().freshURL()
        let first = try await TestSystem(database: Database(Database.Configuration(url: url)))
        _ = try await first.upload("a.txt", "granite")
        let messages = MessageLog()
        let logger = Logger(label: "test") { _ in messages }
        let full = try await TestSystem(database: Database(Database.Configuration(url: url)), logger: logger) {
            $0.freeBytesMin = Self.everything
        }
        try await full.system.startWorker()
        try await full.waitUntil { messages.text.contains("disk nearly full") }
        let attempts = try await full.database.run { connection in
            try connection.execute("SELECT max(attempt) FROM jobs WHERE state = 'queued'").one().int(0)
        }
        #expect(attempts == 0, "waiting is no attempt")
        try await full.stop()
        try await first.system.startWorker()
        try await first.waitUntil { try await first.rowCounts()[6] == 1 }
        try await first.stop()
    }
}

/// Keeps what is logged.
private final class MessageLog: LogHandler {
    private let kept = Mutex("")

    var text: String { kept.withLock { $0 } }
    var logLevel: Logger.Level {
        get { .info }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) { kept.withLock { $0 += "\(event.message)\n" } }
}
