import Core
import Foundation
import Search
import Testing

@Suite struct LexicalIndexTests {
    private func index(_ changes: [IndexChange]) throws -> (LexicalIndex, TemporaryDirectory) {
        let directory = try TemporaryDirectory()
        let index = try LexicalIndex(directory: directory.path)
        try index.apply(changes, through: 1)
        return (index, directory)
    }

    private func found(_ index: LexicalIndex, _ text: String) throws -> [UUIDv7] {
        try index.search(LexicalQuery(text: text)).hits.map(\.documentID)
    }

    @Test func aChangeIsVisibleAndReplacesWhatWasThere() throws {
        let (index, _) = try index([publish(1, "old words about turbines", "second chunk on turbines")])
        #expect(try found(index, "turbine").count == 2)
        try index.apply([publish(1, "new words about compressors")], through: 2)
        #expect(try found(index, "turbine").isEmpty)
        #expect(try found(index, "compressor") == [uuid(1)])
        try index.apply([.retract(document: uuid(1))], through: 3)
        #expect(try found(index, "compressor").isEmpty)
        #expect(index.statistics.documents == 0)
        #expect(index.sequence == 3)
    }

    @Test func theLastChangeOfABatchCounts() throws {
        let (index, _) = try index([publish(1, "alpha"), .retract(document: uuid(1)), publish(1, "omega")])
        #expect(try found(index, "alpha").isEmpty)
        #expect(try found(index, "omega") == [uuid(1)])
    }

    @Test func sequencesOnlyGoForward() throws {
        let (index, _) = try index([publish(1, "alpha")])
        #expect(throws: Failure.self) { try index.apply([publish(2, "beta")], through: 1) }
        #expect(throws: Failure.self) { try index.apply([], through: 0) }
        try index.apply([], through: 1)
        try index.apply([], through: 9)
        #expect(index.sequence == 9)
        #expect(try found(index, "beta").isEmpty)
    }

    @Test func badChunksAreRefusedWithNothingApplied() throws {
        let (index, _) = try index([publish(1, "alpha")])
        var short = chunk("beta", document: 2)
        short.hash = [1, 2]
        var foreign = chunk("beta", document: 2)
        foreign.documentID = uuid(3)
        let other = chunk("beta", document: 2, ordinal: 1, collection: 9)
        for chunks in [[short], [foreign], [chunk("beta", document: 2), other]] {
            let error = #expect(throws: Failure.self) {
                try index.apply([publish(4, "delta"), .publish(document: uuid(2), chunks: chunks)], through: 2)
            }
            #expect(error?.code == .invalidArgument)
        }
        #expect(index.sequence == 1)
        #expect(try found(index, "delta").isEmpty)
    }

    @Test func filtersHoldInsideTheRetrieval() throws {
        // A hundred better hits outside the filter must not push out the one inside.
        var changes = (1...100).map { publish($0, "gasket gasket gasket", collection: 1, metadata: ["team": "ops"]) }
        changes.append(
            publish(200, "a gasket among many other words of a long text", collection: 2, metadata: ["team": "dev"]))
        let (index, _) = try index(changes)
        var query = LexicalQuery(text: "gasket", limit: 5)
        query.collections = [uuid(2)]
        #expect(try index.search(query).hits.map(\.documentID) == [uuid(200)])
        #expect(try index.search(query).candidates == 1)
        query.collections = nil
        query.metadata = [("team", "dev")]
        #expect(try index.search(query).hits.map(\.documentID) == [uuid(200)])
        query.metadata = [("team", "dev"), ("team", "ops")]
        #expect(try index.search(query).hits.isEmpty)
        query.metadata = []
        query.documents = [uuid(200), uuid(999)]
        #expect(try index.search(query).hits.map(\.documentID) == [uuid(200)])
        query.documents = []
        #expect(try index.search(query).hits.isEmpty)
        query.documents = nil
        query.collections = []
        let nothing = try index.search(query)
        #expect(nothing.hits.isEmpty && nothing.candidates == 0)
        // A caller must not learn that a word exists where it may not look.
        #expect(nothing.matchedTerms.isEmpty)
        #expect(nothing.unmatchedTerms == ["gasket"])
    }

    @Test func phrasesAndExclusions() throws {
        let (index, _) = try index([
            publish(1, "the retention of audit logs"), publish(2, "logs of the audit retention"),
            publish(3, "audit logs are rotated"), publish(4, "state of the art"),
        ])
        #expect(try found(index, "\"audit logs\"").sorted() == [uuid(1), uuid(3)])
        #expect(try found(index, "“audit logs” -rotated") == [uuid(1)])
        #expect(try found(index, "audit -\"audit logs\"") == [uuid(2)])
        #expect(try found(index, "\"state of the art\"") == [uuid(4)])
        #expect(try found(index, "\"art of the state\"").isEmpty)
        #expect(try found(index, "-audit").isEmpty)
        // A quote that never closes is no operator.
        #expect(try found(index, "\"audit logs").count == 3)
    }

    @Test func phrasesDoNotRunAcrossFields() throws {
        let (index, _) = try index([publish(1, "schedule follows", title: "Backup")])
        #expect(try found(index, "\"backup schedule\"").isEmpty)
        #expect(try found(index, "backup schedule") == [uuid(1)])
    }

    @Test func stopWordsAloneStillFindSomething() throws {
        let (index, _) = try index([publish(1, "to be or not to be"), publish(2, "turbines")])
        #expect(try found(index, "to be or not to be") == [uuid(1)])
        #expect(try found(index, "what is it").isEmpty)
    }

    @Test func identifiersAreFoundWholeAndInParts() throws {
        let (index, _) = try index([
            publish(1, "Fixed in ABC-123 by renaming max_retry_count."), publish(2, "ABC and 123 are unrelated here."),
            publish(3, "Upgrade to v1.2.3; call parseHTTPRequest."),
        ])
        #expect(try found(index, "ABC-123").first == uuid(1))
        #expect(try found(index, "retry") == [uuid(1)])
        #expect(try found(index, "max_retry_count") == [uuid(1)])
        #expect(try found(index, "1.2.3") == [uuid(3), uuid(2)] || found(index, "1.2.3").first == uuid(3))
        #expect(try found(index, "parsehttprequest") == [uuid(3)])
        #expect(try found(index, "http requests") == [uuid(3)])
    }

    @Test func highlightsAreTheMatchedBytes() throws {
        let text = "Die Größe: indexing ABC-123 in Zürich, indexes and 検索エンジン."
        let (index, _) = try index([publish(1, text)])
        let hit = try #require(try index.search(LexicalQuery(text: "index ABC-123 zurich 検索")).hits.first)
        let bytes = Array(text.utf8)
        #expect(
            hit.highlights.map { String(decoding: bytes[$0.range], as: UTF8.self) }
                == ["indexing", "ABC-123", "Zürich", "indexes", "検索"])
    }

    @Test func termsAreReportedAsWritten() throws {
        let (index, _) = try index([publish(1, "policies for backups")])
        let result = try index.search(LexicalQuery(text: "Which policy covers Unicorns?"))
        #expect(result.matchedTerms == ["policy"])
        #expect(result.unmatchedTerms == ["covers", "Unicorns"])
        #expect(result.coverage > 0 && result.coverage < 0.5)
    }

    @Test func equalChunksComeInDocumentOrderAndAtMostThreeOfOne() throws {
        let texts = Array(repeating: "identical words", count: 5)
        let five = { (document: Int) in
            IndexChange.publish(
                document: uuid(document), chunks: texts.enumerated().map { chunk($1, document: document, ordinal: $0) })
        }
        let (index, _) = try index([five(3), five(1), five(2)])
        let hits = try index.search(LexicalQuery(text: "identical", limit: 7)).hits
        #expect(hits.map(\.documentID) == [1, 1, 1, 2, 2, 2, 3].map(uuid))
        #expect(hits.map(\.span.start) == [0, 1000, 2000, 0, 1000, 2000, 0])
    }

    @Test func limitsAreTypedErrors() throws {
        let (index, _) = try index([])
        for query in [
            LexicalQuery(text: String(repeating: "a", count: Limits.queryBytesMax + 1)),
            LexicalQuery(text: "a", limit: 0), LexicalQuery(text: "a", limit: Limits.hitsMax + 1),
            LexicalQuery(text: "a", perDocumentMax: 0),
            LexicalQuery(text: String(repeating: "\"a b\" ", count: 17)),
        ] {
            let error = #expect(throws: Failure.self) { try index.search(query) }
            #expect(error?.code == .invalidArgument)
        }
        #expect(try index.search(LexicalQuery(text: " ?! ")).hits.isEmpty)
        let long = (0..<1100).map { "w\($0)" }.joined(separator: " ")
        #expect(try index.search(LexicalQuery(text: long)).unmatchedTerms.count == 256)
    }

    @Test func oneDirectoryHasOneOwner() throws {
        let (index, directory) = try index([])
        let error = #expect(throws: Failure.self) { try LexicalIndex(directory: directory.path) }
        #expect(error?.reason == "INDEX_IN_USE")
        #expect(index.sequence == 1)
    }

    @Test func searchesSeeWholeChangesWhileOthersAreApplied() async throws {
        let directory = try TemporaryDirectory()
        let index = try LexicalIndex(directory: directory.path, options: IndexModelTests.tight)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for version in 1...150 {
                    try index.apply(
                        [1, 2].map { document in
                            .publish(
                                document: uuid(document),
                                chunks: (0..<3).map {
                                    chunk(
                                        "shared word version\(version)", document: document, ordinal: $0,
                                        revision: version)
                                })
                        }, through: Int64(version))
                    if version % 10 == 0 { try index.flush() }
                }
            }
            for _ in 0..<2 {
                group.addTask {
                    var last: Int64 = 0
                    while last < 150 {
                        let result = try index.search(LexicalQuery(text: "shared"))
                        #expect(result.sequence >= last)
                        last = result.sequence
                        if last > 0 {
                            #expect(result.hits.count == 6)
                            #expect(Set(result.hits.map(\.revisionID)) == [uuid(Int(last))])
                        }
                        await Task.yield()
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
