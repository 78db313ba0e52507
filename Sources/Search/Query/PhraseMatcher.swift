/// Finds the chunks of a segment that hold a phrase: all its terms, at its distances.
struct PhraseMatcher {
    /// Postings and positions of one member, kept in step.
    private struct MemberCursor {
        var postings: PostingCursor
        var positions: PositionCursor
        var offset: Int
        /// Encoded positions of the current posting are read from `positions` only once.
        var isRead = false

        mutating func advance(to chunk: Int) throws {
            while postings.ordinal < chunk {
                if !isRead { _ = try positions.next() }
                isRead = false
                try postings.advance()
            }
        }

        mutating func read(into list: inout [UInt32]) throws {
            list.removeAll(keepingCapacity: true)
            try positions.next(into: &list)
            isRead = true
        }
    }

    static func chunks(matching phrase: QueryPhrase, in segment: Segment) throws -> BitSet {
        var matching = BitSet(capacity: segment.chunkCount)
        var cursors: [MemberCursor] = []
        for member in phrase.members {
            guard let entry = try segment.lookup(member.bytes) else { return matching }
            cursors.append(
                MemberCursor(
                    postings: try PostingCursor(entry, limit: segment.chunkCount),
                    positions: try PositionCursor(entry), offset: member.offset))
        }
        guard !cursors.isEmpty else { return matching }
        var lists = Array(repeating: [UInt32](), count: cursors.count)
        while true {
            var target = cursors[0].postings.ordinal
            var agree = true
            for index in cursors.indices {
                try cursors[index].advance(to: target)
                if cursors[index].postings.ordinal != target {
                    agree = false
                    target = cursors[index].postings.ordinal
                }
                if target == PostingCursor.atEnd { return matching }
            }
            if agree {
                if try holdsPhrase(&cursors, &lists) { matching.insert(target) }
                target += 1
            }
            try cursors[0].advance(to: target)
            if cursors[0].postings.ordinal == PostingCursor.atEnd { return matching }
        }
    }

    /// Whether some position of the first member has every other member at its distance.
    private static func holdsPhrase(_ cursors: inout [MemberCursor], _ lists: inout [[UInt32]]) throws -> Bool {
        if cursors.count == 1 { return true }
        for index in cursors.indices { try cursors[index].read(into: &lists[index]) }
        return lists[0].contains { first in
            cursors.indices.dropFirst().allSatisfy { index in
                Self.contains(lists[index], UInt64(first) + UInt64(cursors[index].offset))
            }
        }
    }

    private static func contains(_ ascending: [UInt32], _ position: UInt64) -> Bool {
        var low = 0
        var high = ascending.count
        while low < high {
            let middle = (low + high) / 2
            if UInt64(ascending[middle]) == position { return true }
            if UInt64(ascending[middle]) < position { low = middle + 1 } else { high = middle }
        }
        return false
    }
}
