import Core
import NIOCore
import RPC
import Synchronization
import Testing

/// Tasks of a client's call that are cancelled one by one, over real connections and threads.
@Suite struct CancelledTaskTests {
    private static let gated = TestSystem.method("Gated", client: true, server: true)

    /// A server that reads nothing until the gate is open, and then says how many bytes there were.
    private func with(_ gate: Gate, _ body: (RPCClient) async throws -> Void) async throws {
        let runtime = RPCRuntime(threads: 2)
        var router = ServiceRouter()
        router.bidirectional(Self.gated) {
            (requests: RequestReader<RawMessage>, replies: ResponseWriter<RawMessage>, _) in
            try await replies.write(RawMessage())
            await gate.wait()
            var total: UInt64 = 0
            for try await request in requests { total += UInt64(request.bytes.readableBytes) }
            try await replies.write(RawMessage(ByteBuffer(integer: total)))
        }
        var configuration = RPCServer.Configuration()
        configuration.limits.streamWindowBytes = 50_000
        let server = RPCServer(runtime: runtime, router: router, configuration: configuration)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port))
        let result: Result<Void, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        gate.open()
        await client.shutdown()
        await server.shutdown(grace: .seconds(5))
        await runtime.shutdown()
        try result.get()
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledWriterLeavesTheCallToItsReader() async throws {
        let gate = Gate()
        try await with(gate) { client in
            try await client.bidirectional(Self.gated) {
                (writer: RequestWriter<RawMessage>, reader: ResponseReader<RawMessage>) in
                // The server's window is known from here on.
                #expect(try await reader.next() != nil)
                let written = Counter()
                let writing = Task {
                    while true {
                        try await writer.write(bytes(30_000))
                        written.add()
                    }
                }
                // The second cannot be sent whole: what goes of it is less than half a window, for which no credit comes back.
                while written.value < 1 { await Task.yield() }
                writing.cancel()
                #expect(await failure { try await writing.value }?.code == .cancelled)
                #expect(written.value == 1)
                gate.open()
                try await writer.finish()
                let total = try await reader.next()?.bytes.getInteger(at: 0, as: UInt64.self)
                // One that had begun was sent to its end, one that had not was not sent.
                #expect(total == 30_000 || total == 60_000)
                #expect(try await reader.next() == nil)
            }
        }
    }

    @Test(.timeLimit(.minutes(1))) func cancelledTasksNeverWait() async throws {
        try await with(Gate()) { client in
            // Many, so that cancellations come at every moment of a wait.
            for _ in 0..<200 {
                try await client.bidirectional(Self.gated) {
                    (writer: RequestWriter<RawMessage>, reader: ResponseReader<RawMessage>) in
                    let first = try await reader.next()
                    #expect(first != nil)
                    let writing = Task { while true { try await writer.write(bytes(90_000)) } }
                    let reading = Task { try await reader.next() }
                    writing.cancel()
                    reading.cancel()
                    #expect(await failure { try await writing.value }?.code == .cancelled)
                    #expect(await failure { try await reading.value }?.code == .cancelled)
                    let late = await failure {
                        try await Task {
                            withUnsafeCurrentTask { $0?.cancel() }
                            return try await reader.next()
                        }.value
                    }
                    #expect(late?.code == .cancelled)
                }
            }
        }
    }
}
