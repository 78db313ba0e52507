/// The open streams of a connection by id: open addressing with linear probing over the id itself.
///
/// Ids rise by two, so neighbours in time are neighbours in the table and collisions are rare; a hash that resists chosen keys is not
/// needed because the peer cannot choose: ids must rise and the number of open streams is limited.
struct StreamTable<Stream: RPCStream> {
    private var slots: [Stream?] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    private func home(_ id: UInt32) -> Int { Int(id >> 1) & (slots.count - 1) }

    subscript(id: UInt32) -> Stream? {
        guard count > 0 else { return nil }
        var index = home(id)
        while let candidate = slots[index] {
            if candidate.id == id { return candidate }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Adds a stream whose id is not in the table.
    mutating func insert(_ stream: Stream) {
        // At most half full: probes stay short.
        if (count + 1) * 2 > slots.count { grow() }
        place(stream)
        count += 1
    }

    private mutating func place(_ stream: Stream) {
        var index = home(stream.id)
        while slots[index] != nil { index = (index + 1) & (slots.count - 1) }
        slots[index] = stream
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: nil, count: max(16, old.count * 2))
        for case let stream? in old { place(stream) }
    }

    /// Removes the stream with this id, if there is one.
    mutating func remove(_ id: UInt32) {
        guard count > 0 else { return }
        let mask = slots.count - 1
        var hole = home(id)
        while let candidate = slots[hole], candidate.id != id { hole = (hole + 1) & mask }
        guard slots[hole] != nil else { return }
        slots[hole] = nil
        count -= 1
        // Whoever was pushed past the hole moves back into it, or a later look-up would stop there.
        var next = (hole + 1) & mask
        while let candidate = slots[next] {
            if (next - home(candidate.id)) & mask >= (next - hole) & mask {
                slots[hole] = candidate
                slots[next] = nil
                hole = next
            }
            next = (next + 1) & mask
        }
    }

    /// All streams, in no order.
    var all: [Stream] { slots.compactMap { $0 } }

    mutating func removeAll() {
        slots = []
        count = 0
    }
}
