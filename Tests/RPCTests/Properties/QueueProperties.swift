import Core
import NIOCore
import NIOEmbedded
import Testing

@testable import RPC

/// The collections of the hot path against those of the standard library, on random operations. Seeds are printed.
@Suite struct QueueProperties {
    @Test(arguments: UInt64(1)...20) func aFifoIsAQueue(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var fifo = Fifo<Int>()
        var model: [Int] = []
        var next = 0
        // Long runs of one kind reach the sizes at which storage is trimmed.
        for _ in 0..<60 {
            let appends = random.oneIn(2)
            for _ in 0..<Int.random(in: 0...150, using: &random) {
                if appends {
                    fifo.append(next)
                    model.append(next)
                    next += 1
                } else {
                    let first = fifo.removeFirst()
                    check(first, model.isEmpty ? nil : model.removeFirst(), "seed \(seed)")
                }
            }
            let count = Int.random(in: 0...200, using: &random)
            fifo.updateLast(count) { $0 += 1_000_000 }
            for index in model.indices.suffix(count) { model[index] += 1_000_000 }
            fifo.updateFirst { $0 -= 7 }
            if !model.isEmpty { model[0] -= 7 }
            #expect(fifo.count == model.count && fifo.isEmpty == model.isEmpty, "seed \(seed)")
            #expect(fifo.first == model.first, "seed \(seed)")
            #expect(fifo.reduce([]) { $0 + [$1] } == model, "seed \(seed)")
        }
    }

    @Test(arguments: UInt64(1)...20) func aStreamTableIsADictionary(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let end = try EmbeddedEnd.client()
        var table = StreamTable<ClientStream>()
        var model: [UInt32: ClientStream] = [:]
        var next: UInt32 = random.oneIn(2) ? 1 : UInt32.max - 4001
        let most = [4, 100, 900].randomElement(using: &random) ?? 0
        for _ in 0..<2000 {
            if model.count < most, !random.oneIn(3) {
                let stream = ClientStream(connection: end.connection)
                // Numbers may be skipped.
                next +=
                    random.oneIn(10) && next < UInt32.max - 200_000 ? 2 * UInt32.random(in: 1...64, using: &random) : 2
                stream.id = next
                table.insert(stream)
                model[next] = stream
            } else if let id = model.keys.sorted().randomElement(using: &random) {
                table.remove(id)
                model[id] = nil
            }
            table.remove(next &+ 2)
            #expect(table.count == model.count && table.isEmpty == model.isEmpty, "seed \(seed)")
            guard random.oneIn(20) else { continue }
            #expect(Set(table.all.map(\.id)) == Set(model.keys), "seed \(seed)")
            for (id, stream) in model { #expect(table[id] === stream, "seed \(seed): \(id)") }
            #expect(table[next &+ 2] == nil, "seed \(seed)")
        }
        table.removeAll()
        #expect(table.isEmpty && table.all.isEmpty && model.keys.allSatisfy { table[$0] == nil })
        end.lose()
    }
}
