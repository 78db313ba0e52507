/// A fixed set of small integers: chunks or documents of one segment.
struct BitSet: Sendable, Hashable {
    private(set) var words: [UInt64]
    let capacity: Int

    init(capacity: Int, filled: Bool = false) {
        self.capacity = capacity
        words = Array(repeating: filled ? .max : 0, count: (capacity + 63) / 64)
        if filled { trim() }
    }

    /// From stored words; nil when their number does not fit or bits lie beyond the capacity.
    init?(capacity: Int, words: [UInt64]) {
        guard words.count == (capacity + 63) / 64 else { return nil }
        self.capacity = capacity
        self.words = words
        trim()
        if self.words != words { return nil }
    }

    @inline(__always)
    func contains(_ member: Int) -> Bool {
        member < capacity && words[member >> 6] & (1 << UInt64(member & 63)) != 0
    }

    @inline(__always)
    mutating func insert(_ member: Int) {
        guard member < capacity else { return }
        words[member >> 6] |= 1 << UInt64(member & 63)
    }

    @inline(__always)
    mutating func remove(_ member: Int) {
        guard member < capacity else { return }
        words[member >> 6] &= ~(1 << UInt64(member & 63))
    }

    mutating func insert(_ members: Range<Int>) {
        for member in members { insert(member) }
    }

    mutating func remove(_ members: Range<Int>) {
        for member in members { remove(member) }
    }

    mutating func formIntersection(_ other: BitSet) {
        for index in words.indices { words[index] &= index < other.words.count ? other.words[index] : 0 }
    }

    mutating func subtract(_ other: BitSet) {
        for index in words.indices where index < other.words.count { words[index] &= ~other.words[index] }
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    private mutating func trim() {
        guard let last = words.indices.last, capacity & 63 != 0 else { return }
        words[last] &= (1 << UInt64(capacity & 63)) - 1
    }
}
