internal import Core
internal import Search

/// Chooses windows of atoms: 80 to 120 words where the block has that many, within the token limit, ending where a sentence or line ends if one does.
struct BlockSplitter {
    private let atoms: [TextAtom]
    /// True for atoms after which a cut is good.
    private let breaks: [Bool]
    private let overlaps: Bool
    /// What the first window has to carry besides its own atoms.
    private var leadWords: Int
    private var leadTokens: Int
    private var position = 0
    /// End of the window before.
    private var covered = 0
    private var isDone = false

    init(atoms: [TextAtom], breaks: [Bool], overlaps: Bool, leadWords: Int, leadTokens: Int) {
        self.atoms = atoms
        self.breaks = breaks
        self.overlaps = overlaps
        self.leadWords = leadWords
        self.leadTokens = leadTokens
    }

    /// The next window of atoms; nil after the last. Windows are in order, leave no atom out, and each brings at least one new atom.
    mutating func next() -> Range<Int>? {
        guard !isDone, position < atoms.count else { return nil }
        let start = position
        let end = cut(from: start)
        leadWords = 0
        leadTokens = 0
        if end >= atoms.count {
            isDone = true
            return start..<atoms.count
        }
        covered = end
        position = overlaps ? max(start + 1, overlapStart(before: end)) : end
        return start..<end
    }

    /// The end of the window that starts at `start`.
    private func cut(from start: Int) -> Int {
        let limit = largestEnd(from: start)
        if limit >= atoms.count { return atoms.count }
        let overlap = overlaps ? Chunker.overlapWords : 0
        let remaining = atoms.count - start
        // Windows of equal size rather than full ones and a scrap.
        let step = Chunker.windowWords - overlap
        let windows = max(1, (remaining - overlap + step - 1) / step)
        let target = min(start + (remaining - overlap) / windows + overlap, limit)
        // A good end may be up to a third earlier, but the window must bring something new.
        let earliest = min(max(covered + 1, target - (target - start) / 3), limit)
        let candidates = (earliest...limit).filter { breaks[$0 - 1] }
        return candidates.min { abs($0 - target) < abs($1 - target) } ?? max(target, earliest)
    }

    /// The furthest end that the limits allow; at least one atom.
    private func largestEnd(from start: Int) -> Int {
        var end = start
        var tokens = leadTokens
        while end < atoms.count, end - start + leadWords < Chunker.wordsMax,
            tokens + atoms[end].tokens <= Chunker.tokensMax
        {
            tokens += atoms[end].tokens
            end += 1
        }
        return max(end, start + 1)
    }

    /// Where the window after a cut starts: at a sentence that begins within the last 20 words, else 20 words back; less when those
    /// words are a large share of the token limit.
    private func overlapStart(before end: Int) -> Int {
        var earliest = end
        var tokens = 0
        while earliest > 0, end - earliest < Chunker.overlapWords,
            tokens + atoms[earliest - 1].tokens <= Chunker.tokensMax / 4
        {
            earliest -= 1
            tokens += atoms[earliest].tokens
        }
        return (earliest..<end).first { $0 > 0 && breaks[$0 - 1] } ?? earliest
    }
}

/// Where a block is best cut.
enum BlockBreaks {
    /// For every atom whether a sentence (prose) or line (code, tables) ends with it.
    static func after(_ atoms: [TextAtom], of block: TextBlock, in text: CanonicalText) -> [Bool] {
        switch block.kind {
        case .heading, .prose: afterSentences(atoms, block, text)
        case .code, .table: afterLines(atoms, block, text)
        }
    }

    private static func afterSentences(_ atoms: [TextAtom], _ block: TextBlock, _ text: CanonicalText) -> [Bool] {
        var breaks = [Bool](repeating: false, count: atoms.count)
        var index = 0
        for sentence in SentenceSplitter().sentences(of: text.text(block.span)) {
            let end = block.span.start + sentence.end
            while index < atoms.count, atoms[index].end < end { index += 1 }
            if index < atoms.count, atoms[index].end == end { breaks[index] = true }
        }
        return breaks
    }

    private static func afterLines(_ atoms: [TextAtom], _ block: TextBlock, _ text: CanonicalText) -> [Bool] {
        atoms.indices.map { index in
            let next = index + 1 < atoms.count ? atoms[index + 1].start : block.span.end
            return text.bytes[atoms[index].end..<next].contains(0x0A)
        }
    }

    /// The header rows of a table in one line; nil for other blocks and tables without a header.
    static func tableHeader(of block: TextBlock, in text: CanonicalText) -> String? {
        guard case .table(let rows) = block.kind, rows > 0 else { return nil }
        var end = block.span.start
        for _ in 0..<rows {
            guard let lineEnd = text.bytes[end..<block.span.end].firstIndex(of: 0x0A) else { return nil }
            end = lineEnd + 1
        }
        return Chunker.oneLine(text.text(ByteSpan(start: block.span.start, end: end)))
    }
}
