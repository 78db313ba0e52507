import Core
import Foundation
import Testing

@testable import Search

/// Files that are cut, changed, missing or from elsewhere: the index starts empty or older, and never crashes or shows other text.
@Suite struct DamageTests {
    private func filled() throws -> (TemporaryDirectory, Set<String>) {
        let directory = try TemporaryDirectory()
        let index = try LexicalIndex(directory: directory.path, options: IndexOptions(mergeFanout: 8))
        var corpus = RandomCorpus(random: SeededGenerator(seed: 31))
        var texts: Set<String> = []
        for step in 1...12 {
            let change = corpus.publication(step, revision: step)
            texts.formUnion(change.chunks.map(\.text))
            try index.apply([change], through: Int64(step))
            if step % 4 == 0 { try index.flush() }
        }
        try index.apply([.retract(document: uuid(2))], through: 13)
        try index.flush()
        return (directory, texts)
    }

    /// Opens a damaged copy; checks that it is empty or answers only with real text.
    private func check(_ directory: TemporaryDirectory, _ texts: Set<String>) throws -> IndexOpenReport {
        let index = try LexicalIndex(directory: directory.path)
        if case .discarded = index.openReport.outcome {
            #expect(index.sequence == 0)
            #expect(index.statistics.chunks == 0)
        }
        for word in ["server", "policy", "backup", "ABC-123"] {
            for hit in try index.search(LexicalQuery(text: word, limit: 100)).hits { #expect(texts.contains(hit.text)) }
        }
        // And it can be filled again.
        try index.apply([publish(1, "rebuilt")], through: index.sequence + 1)
        try index.flush()
        #expect(try index.search(LexicalQuery(text: "rebuilt")).hits.count == 1)
        return index.openReport
    }

    @Test func cutOrChangedFilesDiscardTheIndex() throws {
        let (source, texts) = try filled()
        let seed: UInt64 = 33
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        for name in try source.names() where name != "lock" {
            let bytes = try source.bytes(of: name)
            var variants: [[UInt8]] = [0, 1, 7, bytes.count / 2, bytes.count - 9, bytes.count - 1].map {
                Array(bytes[..<$0])
            }
            variants.append(bytes + [0])
            for _ in 0..<12 {
                var changed = bytes
                changed[Int.random(in: 0..<bytes.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
                variants.append(changed)
            }
            for variant in variants {
                let copy = try TemporaryDirectory()
                try source.copy(to: copy)
                try copy.write(variant, to: name)
                let report = try check(copy, texts)
                guard case .discarded = report.outcome else {
                    Issue.record("damage of \(name) went unnoticed")
                    continue
                }
            }
        }
    }

    @Test func missingAndExchangedFilesDiscardTheIndex() throws {
        let (source, texts) = try filled()
        for name in try source.names() where name != "lock" {
            let copy = try TemporaryDirectory()
            try source.copy(to: copy)
            try FileManager.default.removeItem(atPath: copy.path + "/" + name)
            let report = try check(copy, texts)
            #expect(report.outcome != .opened)
        }
        let segments = try source.names().filter { $0.hasPrefix("segment-") }
        try #require(segments.count >= 2)
        let copy = try TemporaryDirectory()
        try source.copy(to: copy)
        try copy.write(try source.bytes(of: segments[0]), to: segments[1])
        #expect(try check(copy, texts).outcome != .opened)
    }

    @Test func anotherVersionIsDiscardedEvenWithARightChecksum() throws {
        let (source, texts) = try filled()
        for field in [8, 12] {
            var bytes = try source.bytes(of: Manifest.fileName)
            bytes[field] &+= 1
            bytes.removeLast(8)
            let hash = bytes.withUnsafeBytes { XXH64.hash($0) }
            bytes.append(u64: hash)
            let copy = try TemporaryDirectory()
            try source.copy(to: copy)
            try copy.write(bytes, to: Manifest.fileName)
            #expect(try check(copy, texts).outcome == .discarded(reason: "the manifest was written by another version"))
        }
    }

    @Test func aCrashBeforeTheManifestLeavesTheOlderState() throws {
        let directory = try TemporaryDirectory()
        do {
            let index = try LexicalIndex(directory: directory.path)
            try index.apply([publish(1, "first state")], through: 1)
            try index.flush()
            let manifest = try directory.bytes(of: Manifest.fileName)
            try index.apply([publish(2, "second state")], through: 2)
            try index.flush()
            // As if the process had died between the rename of the segment and that of the manifest.
            try directory.write(manifest, to: Manifest.fileName)
            try directory.write([1, 2, 3], to: Manifest.fileName + ".tmp")
            try directory.write([1, 2, 3], to: Manifest.segmentName(77) + ".tmp")
        }
        let index = try LexicalIndex(directory: directory.path)
        #expect(index.openReport == IndexOpenReport(outcome: .opened, sequence: 1, leftoversRemoved: 3))
        #expect(try index.search(LexicalQuery(text: "state")).hits.map(\.text) == ["first state"])
        #expect(try directory.names().count == 3)
    }

    @Test func readersOfADamagedSegmentStayInBounds() throws {
        let seed: UInt64 = 35
        print("seed \(seed)")
        var corpus = RandomCorpus(random: SeededGenerator(seed: seed))
        let documents = (1...20).map { document in
            (id: uuid(document), chunks: corpus.publication(document, revision: 1).chunks)
        }.filter { !$0.chunks.isEmpty }
        let memory = try SegmentBuilder().build(documents)
        let directory = try TemporaryDirectory()
        let view = SegmentView(try Segment(SegmentBytes(copying: memory)))
        _ = try IndexDirectory(path: directory.path).writeSegment(1, merging: [view])
        let compressed = try directory.bytes(of: Manifest.segmentName(1))
        var damaged = 0
        for round in 0..<3000 {
            var bytes = round % 2 == 0 ? memory : compressed
            for _ in 0..<Int.random(in: 1...8, using: &corpus.random) {
                // Half of the changes in the footer and the tables, where they do most.
                let from = Bool.random(using: &corpus.random) ? 0 : bytes.count * 3 / 4
                let at = Int.random(in: from..<bytes.count, using: &corpus.random)
                bytes[at] = Bool.random(using: &corpus.random) ? UInt8.random(in: 0...255, using: &corpus.random) : 0xFF
            }
            do {
                // Checksums are verified where files are opened; here nothing but bounds checks protects.
                var view = SegmentView(try Segment(SegmentBytes(copying: bytes)))
                for document in 1...5 { try view.retract(uuid(document)) }
                let snapshot = IndexSnapshot(memory: [view], sequence: 1)
                for _ in 0..<3 { _ = try Searcher(snapshot, corpus.query().query).run() }
                _ = try SegmentMerger.merge([view], into: ByteSink())
            } catch is IndexDamage {
                damaged += 1
            }
        }
        #expect(damaged > 500)
    }

    @Test func anUnusableDirectoryRefusesChangesAndLosesNothing() throws {
        let directory = try TemporaryDirectory()
        let index = try LexicalIndex(directory: directory.path, options: IndexOptions(memoryChunksMax: 1))
        try index.apply([publish(1, "stored")], through: 1)
        // Every file operation fails, as on a full disk.
        try FileManager.default.moveItem(atPath: directory.path, toPath: directory.path + ".away")
        #expect(throws: Failure.self) { try index.apply([publish(2, "refused")], through: 2) }
        #expect(throws: Failure.self) { try index.flush() }
        #expect(index.sequence == 1)
        #expect(try index.search(LexicalQuery(text: "stored refused")).hits.map(\.text) == ["stored"])
        try FileManager.default.moveItem(atPath: directory.path + ".away", toPath: directory.path)
        try index.apply([publish(2, "accepted")], through: 2)
        try index.flush()
        #expect(index.statistics.durableSequence == 2)
    }

    @Test(
        arguments: [
            ("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
            ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
        ] as [(String, UInt64)])
    func checksumIsXXH64(text: String, expected: UInt64) {
        #expect(Array(text.utf8).withUnsafeBytes { XXH64.hash($0) } == expected)
        var streamed = XXH64()
        for byte in text.utf8 { withUnsafeBytes(of: byte) { streamed.update($0) } }
        #expect(streamed.value == expected)
    }
}
