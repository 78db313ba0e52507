import Core
import TestSupport
import Testing

@testable import Storage

@Suite struct ContentTests {
    @Test func hashesAreSHA256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(hexString(ContentHash.of([UInt8]())) == empty)
        #expect(hexString(ContentHash.of("abc")) == abc)
        var hash = ContentHash()
        hash.update(Array("a".utf8))
        #expect(hexString(hash.value()) != abc)
        hash.update(Array("bc".utf8))
        #expect(hexString(hash.value()) == abc)
    }

    @Test(arguments: [0, 1, 1000, 1_048_576]) func zstdRoundTrips(size: Int) throws {
        var generator = SeededGenerator(seed: UInt64(size))
        let bytes = (0..<size).map { _ in UInt8.random(in: 0..<4, using: &generator) }
        let frame = try Zstd.compress(bytes)
        #expect(try Zstd.decompress(frame, bytesMax: size) == bytes)
        if size > 0 {
            #expect { try Zstd.decompress(frame, bytesMax: size - 1) } throws: { ($0 as? Failure)?.code == .dataLoss }
        }
    }

    @Test func damagedFramesAreRefused() throws {
        let frame = try Zstd.compress(Array(repeating: 65, count: 10_000))
        for damaged in [[], [1, 2, 3], Array(frame.dropLast()), frame + [0], frame + frame] as [[UInt8]] {
            #expect { try Zstd.decompress(damaged, bytesMax: 100_000) } throws: { ($0 as? Failure)?.code == .dataLoss }
        }
    }

    @Test func theIndexLogNumbersEntriesInCommitOrder() async throws {
        try await withDatabase({ $0.poolMax = 6 }) { database in
            let addition = try await insertRevision(in: database)
            // A follower that reads while others append must see every entry by only ever asking for what is after the last.
            let appended = 120
            async let followed = follow(database, until: appended)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<(appended / 8) {
                            _ = try await database.transaction { try IndexLog.append([addition, addition], on: $0) }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let sequences = try await followed
            #expect(sequences.count == appended)
            #expect(sequences == sequences.sorted())
            let last = try await database.run { try IndexLog.last(on: $0) }
            #expect(last == sequences.last)
        }
    }

    private func follow(_ database: Database, until count: Int) async throws -> [Int64] {
        var sequences: [Int64] = []
        let deadline = MonotonicTime.now().advanced(by: .seconds(60))
        while sequences.count < count, MonotonicTime.now() < deadline {
            let last = sequences.last ?? 0
            sequences += try await database.run { try IndexLog.read(after: last, limit: 7, on: $0) }.map(\.sequence)
        }
        return sequences
    }

    private func insertRevision(in database: Database) async throws -> IndexLog.Addition {
        let (document, revision) = (UUIDv7(), UUIDv7())
        _ = try await database.transaction { connection in
            try connection.pipeline([
                (
                    "INSERT INTO documents (id, collection_id, origin, title) SELECT $1, id, 'o', 't' FROM collections",
                    [.uuid(document)]
                ),
                ("INSERT INTO originals (sha256, size) VALUES ($1, 1)", [.bytes(ContentHash.of("x"))]),
                (
                    """
                    INSERT INTO revisions (id, document_id, sequence, original_sha256, size, media_type)
                    VALUES ($1, $2, 1, $3, 1, 'text/plain')
                    """, [.uuid(revision), .uuid(document), .bytes(ContentHash.of("x"))]
                ),
            ])
        }
        return IndexLog.Addition(.publish, documentID: document, revisionID: revision)
    }
}
