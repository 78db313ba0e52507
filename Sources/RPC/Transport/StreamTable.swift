/// The open streams of a connection by id: open addressing with linear probing over the id itself, kept in Robin Hood order.
///
/// Ids rise by two, so neighbours in time are neighbours in the table and most streams are where they belong; Robin Hood order (Celis,
/// 1986: nobody is further from home than who stands behind) lets a removal stop at the first of those instead of looking through the
/// whole run. A hash that resists chosen keys is not needed because the peer cannot choose: ids must rise and open streams are limited.
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

    /// How far the stream in `index` is from where it belongs.
    private func distance(_ stream: Stream, _ index: Int) -> Int { (index - home(stream.id)) & (slots.count - 1) }

    private mutating func place(_ stream: Stream) {
        var stream = stream
        var index = home(stream.id)
        var travelled = 0
        while let resident = slots[index] {
            let distance = distance(resident, index)
            if distance < travelled {
                slots[index] = stream
                stream = resident
                travelled = distance
            }
            index = (index + 1) & (slots.count - 1)
            travelled += 1
        }
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
        count -= 1
        // Whoever was pushed past the hole moves one back, up to the first that is where it belongs.
        var next = (hole + 1) & mask
        while let candidate = slots[next], home(candidate.id) != next {
            slots[hole] = candidate
            hole = next
            next = (next + 1) & mask
        }
        slots[hole] = nil
    }

    /// All streams, in no order.
    var all: [Stream] { slots.compactMap { $0 } }

    mutating func removeAll() {
        slots = []
        count = 0
    }
}
