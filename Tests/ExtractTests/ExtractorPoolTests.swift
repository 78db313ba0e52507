import Core
import Foundation
import Glibc
import Ingest
import Logging
import Synchronization
import Testing

@Suite struct ExtractorPoolTests {
    private func pool(slots: Int = 1) throws -> ExtractorPool {
        let pool = ExtractorPool(
            executable: ExtractorPool.defaultExecutable(), slots: slots, log: Logger(label: "tests"))
        try pool.start()
        return pool
    }

    /// Takes far longer than any limit, and next to no memory.
    private func endless() -> [UInt8] {
        var pdf = PDFWriter()
        pdf.forms = 40
        pdf.formPage()
        return pdf.bytes()
    }

    private func failure(_ body: () async throws -> ExtractedContent) async throws -> Failure? {
        do {
            _ = try await body()
            return nil
        } catch let failure as Failure {
            return failure
        }
    }

    /// Processes whose parent is `parent`.
    private func children(of parent: Int32) -> [Int32] {
        let text = try? String(contentsOfFile: "/proc/\(parent)/task/\(parent)/children", encoding: .utf8)
        return (text ?? "").split(separator: " ").compactMap { Int32($0) }
    }

    /// Whether `condition` comes true within a time.
    private func becomesTrue(within seconds: Double, _ condition: () -> Bool) async -> Bool {
        let end = MonotonicTime.now().advanced(by: .milliseconds(Int64(seconds * 1000)))
        while MonotonicTime.now() < end {
            if condition() { return true }
            await Task.yield()
        }
        return condition()
    }

    @Test func `many documents at once all come back as themselves`() async throws {
        let pool = try pool(slots: 3)
        let count = 300
        try await withThrowingTaskGroup(of: (Int, String?).self) { group in
            for number in 0..<count {
                group.addTask {
                    (
                        number,
                        try await pool.extract(.bytes(Array("# Document \(number)".utf8)), mediaType: .markdown).blocks
                            .first?.text
                    )
                }
            }
            for try await (number, text) in group { #expect(text == "Document \(number)") }
        }
        await pool.shutdown()
    }

    @Test func `pages and bytes are counted while a document is read`() async throws {
        let pool = try pool()
        var pdf = PDFWriter()
        // More output than one read of the pipe takes.
        for page in 1...40 {
            let text = String(repeating: "page \(page) ", count: 12)
            pdf.page((0..<40).map { .init(text: text, y: 40 + Double($0) * 18) })
        }
        let seen = Mutex<[ExtractionProgress]>([])
        let content = try await pool.extract(.bytes(pdf.bytes()), mediaType: .pdf) { progress in
            seen.withLock { $0.append(progress) }
        }
        let steps = seen.withLock { $0 }
        #expect(steps.count > 1 && steps.last?.pagesDone == 40 && steps.last?.textBytes == content.textBytes)
        #expect(steps.allSatisfy { $0.pagesTotal == 40 || $0.pagesTotal == 0 })
        for (before, after) in zip(steps, steps.dropFirst()) {
            #expect(before.pagesDone <= after.pagesDone && before.textBytes <= after.textBytes)
        }
        #expect(steps.contains { $0.pagesDone > 0 && $0.pagesDone < 40 }, "pages are told before the end")

        seen.withLock { $0 = [] }
        let text = String(repeating: "A paragraph of some words.\n\n", count: 10_000)
        let plain = try await pool.extract(.bytes(Array(text.utf8)), mediaType: .plainText) { progress in
            seen.withLock { $0.append(progress) }
        }
        let bytes = seen.withLock { $0 }
        #expect(bytes.count > 1 && bytes.allSatisfy { $0.pagesTotal == 0 && $0.done == $0.textBytes })
        #expect(bytes.map(\.done) == bytes.map(\.done).sorted() && bytes.last?.done == plain.textBytes)
        await pool.shutdown()
    }

    @Test func `an open file is read from its start and stays open`() async throws {
        let pool = try pool()
        let path = NSTemporaryDirectory() + "acp-extract-\(UUIDv7())"
        try Data("in a file".utf8).write(to: URL(filePath: path))
        let descriptor = open(path, O_RDONLY)
        unlink(path)
        defer { close(descriptor) }
        lseek(descriptor, 3, SEEK_SET)
        for _ in 0..<2 {
            let content = try await pool.extract(.file(descriptor), mediaType: .plainText)
            #expect(content.blocks.map(\.text) == ["in a file"])
        }
        await pool.shutdown()
    }

    @Test func `a document that takes too long fails alone`() async throws {
        let pool = try pool()
        var limits = ExtractionLimits()
        limits.cpuSecondsBase = 1
        limits.cpuSecondsPerMegabyte = 0
        let short = limits
        let failure = try await failure { try await pool.extract(.bytes(endless()), mediaType: .pdf, limits: short) }
        #expect(failure?.code == .failedPrecondition)
        #expect(failure?.reason == "PARSER_TIMEOUT")
        #expect(try await pool.extract(.bytes(Array("next".utf8)), mediaType: .plainText).blocks.count == 1)
        await pool.shutdown()
    }

    @Test func `cancelling a task ends its parser within a second`() async throws {
        let pool = try pool()
        let bytes = endless()
        let task = Task { try await pool.extract(.bytes(bytes), mediaType: .pdf) }
        let isRunning = await becomesTrue(within: 10) {
            pool.status.processIDs.count == 2 && pool.status.processIDs.contains { !children(of: $0).isEmpty }
        }
        #expect(isRunning)
        let servers = pool.status.processIDs
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(await becomesTrue(within: 1) { servers.allSatisfy { children(of: $0).isEmpty } })
        await pool.shutdown()
    }

    @Test func `cancelling a task that waits for a slot ends it at once`() async throws {
        let pool = try pool()
        let bytes = endless()
        let first = Task { try await pool.extract(.bytes(bytes), mediaType: .pdf) }
        #expect(await becomesTrue(within: 10) { pool.status.documentsRunning == 1 })
        let second = Task { try await pool.extract(.bytes(bytes), mediaType: .pdf) }
        #expect(await becomesTrue(within: 10) { pool.status.documentsWaiting == 1 })
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        await pool.shutdown()
    }

    @Test func `a server that is killed is started again and the document read`() async throws {
        let pool = try pool()
        for _ in 0..<3 {
            let server = try #require(pool.status.processIDs.first)
            kill(server, SIGKILL)
            let content = try await pool.extract(.bytes(Array("still here".utf8)), mediaType: .plainText)
            #expect(content.blocks.map(\.text) == ["still here"])
            #expect(pool.status.processIDs.first != server)
        }
        await pool.shutdown()
    }

    @Test func `a server that is killed in the middle is tried once more, then given up`() async throws {
        let pool = try pool()
        let bytes = endless()
        let task = Task { try await self.failure { try await pool.extract(.bytes(bytes), mediaType: .pdf) } }
        var killed: Set<Int32> = []
        for _ in 0..<2 {
            var server: Int32?
            _ = await becomesTrue(within: 10) {
                server = pool.status.processIDs.first { !killed.contains($0) && !children(of: $0).isEmpty }
                return server != nil
            }
            let found = try #require(server)
            killed.insert(found)
            kill(found, SIGKILL)
        }
        let failure = try await task.value
        #expect(failure?.code == .unavailable)
        #expect(failure?.reason == "EXTRACTOR_UNAVAILABLE")
        await pool.shutdown()
    }

    @Test func `a parser that is killed by the system is the document's failure`() async throws {
        let pool = try pool()
        let bytes = endless()
        let task = Task { try await self.failure { try await pool.extract(.bytes(bytes), mediaType: .pdf) } }
        var parser: Int32?
        _ = await becomesTrue(within: 10) {
            parser = pool.status.processIDs.lazy.compactMap { children(of: $0).first }.first
            return parser != nil
        }
        kill(try #require(parser), SIGSEGV)
        #expect(try await task.value?.reason == "PARSER_CRASHED")
        await pool.shutdown()
    }

    @Test func `stopping ends what runs and what waits, and the servers`() async throws {
        let pool = try pool()
        let bytes = endless()
        let tasks = (0..<3).map { _ in
            Task { try await self.failure { try await pool.extract(.bytes(bytes), mediaType: .pdf) } }
        }
        #expect(
            await becomesTrue(within: 10) { pool.status.documentsRunning == 1 && pool.status.processIDs.count == 2 })
        let servers = pool.status.processIDs
        await pool.shutdown()
        for task in tasks { #expect(try await task.value?.code == .unavailable) }
        #expect(await becomesTrue(within: 1) { servers.allSatisfy { kill($0, 0) != 0 } })
        let late = try await failure { try await pool.extract(.bytes([0x61]), mediaType: .plainText) }
        #expect(late?.code == .unavailable)
        await pool.shutdown()
    }

    @Test func `a missing executable is named`() {
        let pool = ExtractorPool(executable: "/nowhere/acp-extract", slots: 1, log: Logger(label: "tests"))
        let failure = #expect(throws: Failure.self) { try pool.start() }
        #expect(failure?.reason == "EXTRACTOR_UNAVAILABLE")
        #expect(failure?.message.contains("/nowhere/acp-extract") == true)
    }

    @Test func `an executable that is something else is an error, not a hang`() {
        let pool = ExtractorPool(executable: "/bin/true", slots: 1, log: Logger(label: "tests"))
        #expect(throws: Failure.self) { try pool.start() }
    }
}
