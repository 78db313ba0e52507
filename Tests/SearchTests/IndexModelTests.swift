import Core
import Foundation
import Search
import Testing

/// The index against the naive model, on random histories.
@Suite struct IndexModelTests {
    /// Small bounds, so that flushes and merges happen all the time.
    static let tight = IndexOptions(
        memoryChunksMax: 24, memoryBytesMax: 1 << 20, mergeFanout: 3, segmentsMax: 4, segmentChunksMax: 80)

    private func check(_ index: LexicalIndex, _ model: ReferenceModel, _ corpus: inout RandomCorpus) throws {
        let asked = corpus.query()
        let result = try index.search(asked.query)
        let expected = model.search(
            words: asked.words, phrases: asked.phrases, excluded: asked.excluded, query: asked.query)
        #expect(result.hits.map(\.chunkID) == expected.hits.map(\.chunk.id), "\(asked.query)")
        #expect(result.candidates == expected.candidates, "\(asked.query)")
        for (hit, wanted) in zip(result.hits, expected.hits) {
            #expect(abs(hit.score - wanted.score) < 1e-9)
            #expect(hit.text == wanted.chunk.text)
            #expect(hit.documentID == wanted.chunk.documentID)
            #expect(hit.revisionID == wanted.chunk.revisionID)
            #expect(hit.collectionID == wanted.chunk.collectionID)
            #expect(hit.span == wanted.chunk.span)
            #expect(hit.hash == wanted.chunk.hash)
            #expect(hit.title == wanted.chunk.title)
            #expect(hit.headingPath == wanted.chunk.headingPath)
            #expect(hit.metadata == wanted.chunk.metadata)
        }
        #expect(abs(result.coverage - expected.coverage) < 1e-9)
        #expect(result.sequence == index.sequence)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func everyHistoryAnswersLikeTheModel(seed: UInt64) throws {
        print("seed \(seed)")
        var corpus = RandomCorpus(random: SeededGenerator(seed: seed))
        let directory = try TemporaryDirectory()
        var index: LexicalIndex? = try LexicalIndex(directory: directory.path, options: Self.tight)
        var model = ReferenceModel()
        var history: [Int64: ReferenceModel] = [0: model]
        for step in 1...150 {
            switch Int.random(in: 0..<20, using: &corpus.random) {
            case 0..<14:
                var changes: [IndexChange] = []
                for _ in 0..<Int.random(in: 1...3, using: &corpus.random) {
                    let document = Int.random(in: 1...40, using: &corpus.random)
                    changes.append(
                        Int.random(in: 0..<5, using: &corpus.random) == 0
                            ? .retract(document: uuid(document)) : corpus.publication(document, revision: step))
                }
                let sequence = try #require(index).sequence + 1
                try index?.apply(changes, through: sequence)
                model.apply(changes)
                history[sequence] = model
            case 14..<17:
                try index?.flush()
                #expect(index?.statistics.durableSequence == index?.sequence)
            case 17:
                // Closing without a flush is what a crash leaves: the last durable state.
                let durable = try #require(index).statistics.durableSequence
                index = nil
                index = try LexicalIndex(directory: directory.path, options: Self.tight)
                #expect(index?.sequence == durable)
                model = try #require(history[durable])
                history = history.filter { $0.key <= durable }
            default: break
            }
            let current = try #require(index)
            #expect(current.statistics.documents == model.documents.count)
            #expect(current.statistics.chunks == model.documents.values.reduce(0) { $0 + $1.count })
            #expect(current.statistics.segments <= 24)
            try check(current, model, &corpus)
            try check(current, model, &corpus)
        }
    }

    @Test(arguments: [11, 12, 13] as [UInt64])
    func resultsDoNotDependOnSegments(seed: UInt64) throws {
        print("seed \(seed)")
        var corpus = RandomCorpus(random: SeededGenerator(seed: seed))
        let changes = (1...60).map { corpus.publication($0, revision: 1) }
        let one = try TemporaryDirectory()
        let many = try TemporaryDirectory()
        let whole = try LexicalIndex(directory: one.path)
        try whole.apply(changes, through: 60)
        try whole.flush()
        let pieces = try LexicalIndex(directory: many.path, options: Self.tight)
        for (position, change) in changes.shuffled(using: &corpus.random).enumerated() {
            try pieces.apply([change], through: Int64(position + 1))
        }
        for _ in 0..<100 {
            let query = corpus.query().query
            // Scores too, to the last bit.
            #expect(try whole.search(query) == pieces.search(query))
        }
    }

    @Test func onlyReferencedFilesRemain() throws {
        var corpus = RandomCorpus(random: SeededGenerator(seed: 21))
        let directory = try TemporaryDirectory()
        let index = try LexicalIndex(directory: directory.path, options: Self.tight)
        for step in 1...80 {
            try index.apply([corpus.publication(step % 30, revision: step)], through: Int64(step))
            if step % 3 == 0 { try index.flush() }
        }
        try index.flush()
        let segments = try directory.names().filter { $0.hasPrefix("segment-") }
        #expect(segments.count == index.statistics.segments)
        #expect(try directory.names().count == segments.count + 2)
    }
}
