import Core
import Glibc
import Search

/// Measures the lexical index on synthetic chunks of about 100 words with Zipf-distributed terms: build rate, query latency, memory, bytes.
///
/// Usage: `SearchBench [chunks]`, 100,000 by default. Runs on one thread.
@main
struct SearchBench {
    static func main() throws {
        let chunks = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 100_000
        let directory = "/tmp/acp-search-bench-\(getpid())"
        defer { _ = removeAll(directory) }
        var corpus = Corpus(seed: 1)
        let before = resident("RssAnon:")
        let index = try LexicalIndex(directory: directory)
        var sequence: Int64 = 0
        var seconds = 0.0
        var published = 0
        while published < chunks {
            // One change per document of ten chunks, 32 documents a batch: what a follower of index_log does.
            let changes = (0..<32).map { _ in corpus.document() }
            sequence += 32
            published += 320
            let start = MonotonicTime.now()
            try index.apply(changes, through: sequence)
            seconds += elapsed(start)
        }
        let start = MonotonicTime.now()
        try index.flush()
        seconds += elapsed(start)
        let built = index.statistics
        print("build            \(Int(Double(published) / seconds)) chunks/s (\(published) chunks in \(seconds) s)")
        print("segments         \(built.segments) files, \(built.bytes / built.chunks) bytes per chunk")
        print(
            "anonymous, built \((resident("RssAnon:") - before) >> 20) MiB; all pages, peak \(resident("VmHWM:") >> 20) MiB"
        )
        try measure("5 frequent terms", index, (0..<500).map { _ in corpus.query(terms: 5, ranks: 20...400) })
        try measure("5 mixed terms", index, (0..<500).map { _ in corpus.query(terms: 5, ranks: 20...20_000) })
        try measure("5 Zipf terms", index, (0..<500).map { _ in corpus.zipfQuery(terms: 5) })
        try measure("phrase of 2", index, (0..<200).map { _ in "\"" + corpus.query(terms: 2, ranks: 20...400) + "\"" })
        try measure(
            "5 mixed, 1 of 4 collections", index, (0..<500).map { _ in corpus.query(terms: 5, ranks: 20...20_000) }
        ) {
            $0.collections = [Corpus.collection(1)]
        }
        try measure("5 mixed, metadata", index, (0..<500).map { _ in corpus.query(terms: 5, ranks: 20...20_000) }) {
            $0.metadata = [("team", "team1")]
        }
        print(
            "anonymous, asked \((resident("RssAnon:") - before) >> 20) MiB, mapped files \(resident("RssFile:") >> 20) MiB"
        )
        let open = MonotonicTime.now()
        let copy = directory + "-reopened"
        guard rename(directory, copy) == 0 else { return }
        defer { _ = removeAll(copy) }
        // The lock belongs to the open index; without it the copy opens as a restarted service would.
        unlink(copy + "/lock")
        let again = try LexicalIndex(directory: copy)
        print("open, verified   \(Int(elapsed(open) * 1000)) ms for \(again.statistics.chunks) chunks")
    }

    static func measure(
        _ name: String, _ index: LexicalIndex, _ texts: [String], _ adjust: (inout LexicalQuery) -> Void = { _ in }
    ) throws {
        var times: [Double] = []
        var candidates = 0
        for text in texts {
            var query = LexicalQuery(text: text)
            adjust(&query)
            let start = MonotonicTime.now()
            candidates += try index.search(query).candidates
            times.append(elapsed(start) * 1000)
        }
        times.sort()
        func at(_ share: Double) -> Double { (times[Int(Double(times.count - 1) * share)] * 100).rounded() / 100 }
        print("\(name): p50 \(at(0.5)) ms, p95 \(at(0.95)) ms, \(candidates / texts.count) candidates")
    }

    static func elapsed(_ start: MonotonicTime) -> Double {
        Double(MonotonicTime.now().nanoseconds - start.nanoseconds) / 1e9
    }

    /// A figure of /proc/self/status in bytes.
    static func resident(_ field: String) -> Int {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, 256, file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix(field) else { continue }
            return (Int(text.split(whereSeparator: { $0 == " " || $0 == "\t" })[1]) ?? 0) << 10
        }
        return 0
    }

    static func removeAll(_ directory: String) -> Bool {
        guard let handle = opendir(directory) else { return false }
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { unlink(directory + "/" + name) }
        }
        closedir(handle)
        return rmdir(directory) == 0
    }
}

/// Seeded documents whose words follow Zipf's law over 200,000 invented words.
struct Corpus {
    private static let words = 200_000
    private var state: UInt64
    private let cumulative: [Double]
    private var documents = 0

    init(seed: UInt64) {
        state = seed
        var sum = 0.0
        cumulative = (1...Self.words).map { rank in
            sum += 1 / Double(rank)
            return sum
        }
    }

    static func collection(_ number: Int) -> UUIDv7 { UUIDv7(high: 0x7000, low: UInt64(number)) }

    mutating func document() -> IndexChange {
        documents += 1
        let id = UUIDv7(high: UInt64(documents) << 16 | 0x7000, low: next())
        let collection = Self.collection(documents & 3)
        let title = text(words: 5)
        let metadata = ["team": "team\(documents % 10)", "year": "\(2000 + documents % 25)"]
        let revision = UUIDv7(high: UInt64(documents) << 16 | 0x7001, low: next())
        let chunks = (0..<10).map { ordinal in
            let text = text(words: 100)
            return IndexedChunk(
                id: UUIDv7(high: UInt64(documents) << 16 | 0x7002, low: next()), documentID: id, revisionID: revision,
                collectionID: collection, title: title, headingPath: [title], text: text,
                span: ByteSpan(start: ordinal * 700, end: ordinal * 700 + text.utf8.count),
                hash: (0..<4).flatMap { _ in withUnsafeBytes(of: next()) { [UInt8]($0) } }, metadata: metadata)
        }
        return .publish(document: id, chunks: chunks)
    }

    mutating func query(terms: Int, ranks: ClosedRange<Int>) -> String {
        (0..<terms).map { _ in Self.word(ranks.lowerBound + Int(next() % UInt64(ranks.count))) }.joined(separator: " ")
    }

    mutating func zipfQuery(terms: Int) -> String { (0..<terms).map { _ in Self.word(rank()) }.joined(separator: " ") }

    private mutating func text(words: Int) -> String {
        (0..<words).map { _ in Self.word(rank()) }.joined(separator: " ")
    }

    private mutating func rank() -> Int {
        let target = Double(next() >> 11) / Double(1 << 53) * (cumulative.last ?? 1)
        var low = 0
        var high = cumulative.count - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] < target { low = middle + 1 } else { high = middle }
        }
        return low + 1
    }

    /// A pronounceable word per rank; shorter ones are more frequent, as in language.
    private static func word(_ rank: Int) -> String {
        let consonants: [Character] = Array("bcdfghjklmnprstvwz")
        let vowels: [Character] = Array("aeiou")
        var rest = rank + 17
        var word = ""
        while rest > 0 {
            word.append(consonants[rest % consonants.count])
            rest /= consonants.count
            word.append(vowels[rest % vowels.count])
            rest /= vowels.count
        }
        return word
    }

    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
