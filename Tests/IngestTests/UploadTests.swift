import Core
import Glibc
import RPC
import Storage
import TestSupport
import Testing

@testable import Ingest

@Suite struct UploadTests {
    @Test func anAcknowledgedUploadIsStoredWithItsJob() async throws {
        try await withSystem { system in
            let response = try await system.upload("notes/plan.txt", "A plan.") {
                $0.collection = "project"
                $0.metadata = ["team": "core", "quote\"": "back\\slash"]
            }
            #expect(response.unchanged == false)
            #expect(response.document?.collection == "project")
            #expect(response.document?.title == "plan.txt")
            #expect(response.document?.mediaType == "text/plain")
            #expect(response.document?.revisionID == "")
            #expect(response.document?.revisions == 1)
            #expect(response.document?.sizeBytes == 7)
            #expect(response.document?.metadata == ["team": "core", "quote\"": "back\\slash"])
            #expect(response.job?.state == .queued)
            #expect(response.job?.stage == "received")
            #expect(response.job?.origin == "notes/plan.txt")
            #expect(response.job?.traceID.count == 32)
            try await system.expectRows([1, 1, 1, 1, 1, 0, 0])
        }
    }

    @Test func identicalBytesAreANoOpThatSaysSo() async throws {
        try await withSystem { system in
            let first = try await system.upload("a.txt", "same")
            let again = try await system.upload("a.txt", "same")
            #expect(again.unchanged)
            #expect(again.job?.id == first.job?.id)
            #expect(again.document?.id == first.document?.id)
            let changed = try await system.upload("a.txt", "other")
            #expect(!changed.unchanged && changed.document?.revisions == 2)
            // Not the newest revision any more, so it is a change again; its bytes are stored once.
            let back = try await system.upload("a.txt", "same")
            #expect(!back.unchanged && back.document?.revisions == 3)
            try await system.expectRows([1, 3, 2, 2, 3, 0, 0])
            let elsewhere = try await system.upload("a.txt", "same") { $0.collection = "b" }
            #expect(elsewhere.document?.id != first.document?.id)
        }
    }

    @Test func anIdempotencyKeyMakesARepeatHaveOneEffect() async throws {
        try await withSystem { system in
            let bytes = Array("text".utf8)
            let first = try await system.upload("a.txt", bytes, idempotencyKey: "k1")
            let again = try await system.upload("a.txt", bytes, idempotencyKey: "k1")
            #expect(again.job?.id == first.job?.id)
            let other = await failure { _ = try await system.upload("b.txt", bytes, idempotencyKey: "k1") }
            #expect(other?.reason == "IDEMPOTENCY_KEY_REUSED")
            try await system.expectRows([1, 1, 1, 1, 1, 0, 0])
        }
    }

    @Test(arguments: [1, 100, 65_535, 65_536, 65_537, 1 << 20, 1 << 20 + 1, 3 << 20 + 12_345])
    func whatIsStoredIsWhatWasSent(count: Int) async throws {
        try await withSystem { system in
            var generator = SeededGenerator(seed: UInt64(count))
            let bytes = (0..<count).map { _ in UInt8.random(in: 0x61...0x7A, using: &generator) }
            let response = try await system.upload("big.txt", bytes) {
                $0.sizeBytes = UInt64(count)
                $0.sha256 = ContentHash.of(bytes)
            }
            #expect(response.document?.sizeBytes == UInt64(count))
            let reader = OriginalReader(
                database: system.database, spoolDirectory: system.directory + "/spool", thread: WorkThread())
            let opened = try await reader.open(sha256: ContentHash.of(bytes), size: count)
            await opened.with { original in
                guard case .file(let descriptor) = original else { return }
                var read = [UInt8](repeating: 0, count: count)
                #expect(pread(descriptor, &read, count, 0) == count)
                #expect(read == bytes)
            }
            reader.thread.stop()
        }
    }

    @Test func refusedUploadsLeaveNothingBehind() async throws {
        try await withSystem(adjust: { $0.uploadBytesMax = 1000 }) { system in
            func expectRefusal(
                _ reason: String, _ bytes: [UInt8], _ adjust: (inout UploadStart) -> Void = { _ in }
            ) async {
                let refused = await failure { _ = try await system.upload("x.txt", bytes, adjust) }
                #expect(refused?.reason == reason)
                #expect(refused?.remedy.isEmpty == false)
            }
            let text = [UInt8](repeating: UInt8(ascii: "a"), count: 100)
            let junk = (0..<200).map { UInt8(truncatingIfNeeded: $0 * 7) }
            let zip: [UInt8] = [0x50, 0x4B, 3, 4] + text
            await expectRefusal("EMPTY_FILE", [])
            await expectRefusal("UPLOAD_TRUNCATED", text) { $0.sizeBytes = 101 }
            await expectRefusal("SIZE_MISMATCH", text) { $0.sizeBytes = 99 }
            await expectRefusal("HASH_MISMATCH", text) { $0.sha256 = [UInt8](repeating: 7, count: 32) }
            await expectRefusal(Failure.tooLarge, [UInt8](repeating: UInt8(ascii: "a"), count: 1001))
            await expectRefusal(Failure.tooLarge, text) { $0.sizeBytes = 1001 }
            await expectRefusal("UNSUPPORTED_TYPE", junk)
            await expectRefusal("UNSUPPORTED_TYPE", zip)
            try await system.expectRows([0, 0, 0, 0, 0, 0, 0])
            _ = try await system.upload("x.txt", Array(repeating: UInt8(ascii: "a"), count: 1000))
            try await system.expectRows([1, 1, 1, 1, 1, 0, 0])
        }
    }

    @Test func anUnsupportedTypeIsRefusedBeforeEverythingIsSent() async throws {
        try await withSystem { system in
            let refused = await failure {
                _ = try await system.ingest.uploadDocument { writer in
                    try await writer.write(UploadDocumentRequest(part: .start(UploadStart(origin: "a.bin"))))
                    // Far more than the limit of an upload: ends only because the service answers.
                    while true {
                        try await writer.write(
                            UploadDocumentRequest(part: .data(Array(repeating: 0, count: 65_536))))
                    }
                }
            }
            #expect(refused?.reason == "UNSUPPORTED_TYPE")
            #expect(refused?.remedy.contains("PDF") == true)
        }
    }

    @Test func everyRefusedFieldIsNamed() async throws {
        try await withSystem { system in
            let refused = await failure {
                _ = try await system.upload("", "text") {
                    $0.sha256 = [1, 2, 3]
                    $0.title = String(repeating: "t", count: 1025)
                    $0.metadata = ["": "v"]
                }
            }
            #expect(refused?.code == .invalidArgument)
            #expect(refused?.fields.map(\.field) == ["origin", "sha256", "title", "metadata"])
            let order = await failure {
                _ = try await system.ingest.uploadDocument {
                    try await $0.write(UploadDocumentRequest(part: .data([1])))
                }
            }
            #expect(order?.fields.map(\.field) == ["start"])
            let long = await failure {
                _ = try await system.upload("a", Array(repeating: 65, count: 70_000), pieceBytes: 70_000)
            }
            #expect(long?.fields.map(\.field) == ["data"])
        }
    }

    @Test func aSpoolThatCannotBeUsedIsAClearFailure() async throws {
        try await withSystem { system in
            let descriptor = open(system.directory + "/spool", O_CREAT | O_WRONLY, 0o600)
            close(descriptor)
            let refused = await failure {
                _ = try await system.upload("big.txt", Array(repeating: 65, count: 2 << 20))
            }
            #expect(refused?.reason == "SPOOL_UNUSABLE")
            #expect(refused?.message.contains(system.directory) == true)
            try await system.expectRows([0, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test func concurrentUploadsOfOneOriginFollowEachOther() async throws {
        try await withSystem { system in
            let responses = try await withThrowingTaskGroup(of: UploadDocumentResponse.self) { group in
                for number in 0..<24 { group.addTask { try await system.upload("same.txt", "version \(number % 12)") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(responses.compactMap { $0.document?.id }).count == 1)
            let made = responses.filter { !$0.unchanged }
            #expect(made.count >= 12)
            let document = try await system.ingest.getDocument(GetDocumentRequest(id: responses[0].document?.id ?? ""))
            #expect(Int(document.revisions) == made.count)
            let jobs = try await system.rowCounts()[4]
            #expect(jobs == made.count)
        }
    }

    @Test func aClientThatGoesAwayLeavesNothingBehind() async throws {
        try await withSystem { system in
            struct GoneAway: Error {}
            let task = Task {
                try await system.ingest.uploadDocument { writer in
                    try await writer.write(UploadDocumentRequest(part: .start(UploadStart(origin: "a.txt"))))
                    try await writer.write(UploadDocumentRequest(part: .data(Array("half".utf8))))
                    throw GoneAway()
                }
            }
            _ = try? await task.value
            try await system.expectRows([0, 0, 0, 0, 0, 0, 0])
            // The service is still there for others.
            _ = try await system.upload("b.txt", "whole")
            try await system.expectRows([1, 1, 1, 1, 1, 0, 0])
        }
    }

    @Test func pastedTextIsADocument() async throws {
        try await withSystem { system in
            let pasted = try await system.ingest.pasteDocument(
                PasteDocumentRequest(title: "Note", text: "# Head", mediaType: "text/markdown"))
            #expect(pasted.document?.origin.hasPrefix("paste:") == true)
            #expect(pasted.document?.title == "Note")
            #expect(pasted.document?.mediaType == "text/markdown")
            let html = try await system.ingest.pasteDocument(PasteDocumentRequest(text: "<p>not markup</p>"))
            #expect(html.document?.mediaType == "text/plain")
            let refused = await failure {
                _ = try await system.ingest.pasteDocument(PasteDocumentRequest(text: "", mediaType: "image/png"))
            }
            #expect(refused?.fields.map(\.field) == ["text", "media_type"])
        }
    }
}
