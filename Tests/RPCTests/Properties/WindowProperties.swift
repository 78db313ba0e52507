import Core
import Testing

@testable import RPC

/// Flow control without connections: credit is neither lost nor made, whatever the order.
@Suite struct WindowProperties {
    @Test(arguments: UInt64(1)...50) func bytesAndCreditAreKept(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let bytes = [1, 2, 100, 65_535, 1 << 20].randomElement(using: &random) ?? 1
        var send = SendWindow(bytes: bytes)
        var receive = ReceiveWindow(bytes: bytes)
        // Sent and not arrived, arrived and not taken, credit under way.
        var flying: [Int] = []
        var waiting: [Int] = []
        var credits: [Int] = []
        for _ in 0..<2000 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let count = Int.random(in: 0...max(0, send.available), using: &random)
                send.consume(count)
                flying.append(count)
            case 1 where !flying.isEmpty:
                let count = flying.removeFirst()
                try receive.consume(count)
                waiting.append(count)
            case 2 where !waiting.isEmpty:
                let credit = receive.credit(waiting.remove(at: Int.random(in: waiting.indices, using: &random)))
                if credit > 0 { credits.append(credit) }
            case 3 where !credits.isEmpty: try send.replenish(credits.removeFirst())
            default: break
            }
            #expect(send.available >= 0 && receive.available >= 0, "seed \(seed)")
            // What the receiver still allows is with the sender, on its way to it, or on its way from it.
            let inTheAir = flying.reduce(0, +) + credits.reduce(0, +)
            #expect(send.available + inTheAir == receive.available, "seed \(seed)")
        }
        for count in flying { try receive.consume(count) }
        for count in flying + waiting {
            let credit = receive.credit(count)
            if credit > 0 { credits.append(credit) }
        }
        for credit in credits { try send.replenish(credit) }
        #expect(receive.isWhole && send.available == receive.available, "seed \(seed)")
        #expect(2 * send.available > bytes, "seed \(seed): less than half of a window waits")
    }

    @Test func aReceiveWindowAllowsWhatItSaysAndItsExcess() throws {
        var window = ReceiveWindow(bytes: 10, excessMax: 5)
        try window.consume(15)
        #expect(throws: ProtocolViolation.self) { try window.consume(1) }
        var exact = ReceiveWindow(bytes: 10)
        try exact.consume(10)
        check(exact.credit(4), 0)
        check(exact.credit(1), 5)
        try exact.consume(5)
        #expect(throws: ProtocolViolation.self) { try exact.consume(1) }
    }

    @Test func aSendWindowMayBeFilledToItsBound() throws {
        var window = SendWindow(bytes: SendWindow.bytesMax - 1)
        #expect(throws: ProtocolViolation.self) { try window.replenish(0) }
        try window.replenish(1)
        #expect(throws: ProtocolViolation.self) { try window.replenish(1) }
        window.adjust(by: -2 * SendWindow.bytesMax)
        #expect(window.available == -SendWindow.bytesMax)
        try window.replenish(SendWindow.bytesMax)
        #expect(window.available == 0)
    }
}
