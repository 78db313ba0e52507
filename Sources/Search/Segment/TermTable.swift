/// Terms to numbers in order of first occurrence: open addressing over bytes in one arena.
struct TermTable {
    private var slots: [Int32] = Array(repeating: -1, count: 1 << 12)
    private var hashes: [UInt64] = []
    private var starts: [UInt32] = [0]
    private var arena: [UInt8] = []

    var count: Int { hashes.count }

    /// The number of a term, new or known.
    @inline(__always)
    mutating func number(of term: UnsafeBufferPointer<UInt8>) -> UInt32 {
        let hash = Self.hash(term)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let number = Int(slots[slot])
            if hashes[number] == hash, isEqual(number, term) { return UInt32(number) }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = Int32(hashes.count)
        hashes.append(hash)
        arena.append(contentsOf: term)
        starts.append(UInt32(arena.count))
        if hashes.count * 2 > slots.count { grow() }
        return UInt32(hashes.count - 1)
    }

    /// Whether a term is known.
    func contains(_ term: UnsafeBufferPointer<UInt8>) -> Bool {
        let hash = Self.hash(term)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let number = Int(slots[slot])
            if hashes[number] == hash, isEqual(number, term) { return true }
            slot = (slot + 1) & (slots.count - 1)
        }
        return false
    }

    /// Calls `body` with the bytes of each term, in ascending order of bytes.
    func forEachSorted(_ body: (_ number: Int, _ term: UnsafeRawBufferPointer) throws -> Void) throws {
        try arena.withUnsafeBytes { arena in
            func bytes(_ number: Int) -> UnsafeRawBufferPointer {
                UnsafeRawBufferPointer(rebasing: arena[Int(starts[number])..<Int(starts[number + 1])])
            }
            for number in (0..<count).sorted(by: { compare(bytes($0), bytes($1)) < 0 }) {
                try body(number, bytes(number))
            }
        }
    }

    @inline(__always)
    private func isEqual(_ number: Int, _ term: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = Int(starts[number])
        guard Int(starts[number + 1]) - start == term.count else { return false }
        for index in 0..<term.count where arena[start + index] != term[index] { return false }
        return true
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 2)
        for (number, hash) in hashes.enumerated() {
            var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(number)
        }
    }

    /// FNV-1a with a final mix; terms come from documents, so a full table of equal hashes must stay unlikely but is not worth SipHash: it could
    /// only slow down the indexing of its own document.
    @inline(__always)
    private static func hash(_ term: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in term { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash ^= hash >> 32
        return hash
    }
}
