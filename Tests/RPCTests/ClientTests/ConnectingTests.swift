import Core
import Glibc
import NIOCore
import Synchronization
import Testing

@testable import RPC

@Suite struct ConnectingTests {
    /// A port that nobody listens on now.
    private static func freePort(_ runtime: RPCRuntime) async throws -> Endpoint.Host {
        let node = Node("gone", runtime: runtime)
        try await node.startOnLastingPort()
        let host = node.host
        await node.server.shutdown(grace: .zero)
        return host
    }

    /// Waits longer for an address that does not answer than any test here would.
    private static var patient: RPCClient.Configuration {
        var configuration = RPCClient.Configuration()
        configuration.connectTimeoutMs = 60_000
        return configuration
    }

    private static func waiting(_ timeout: Duration? = .seconds(20)) -> CallOptions {
        var options = CallOptions(timeout: timeout)
        options.waitForReady = true
        return options
    }

    @Test func waitForReadyOutlastsAServerThatComesLater() async throws {
        try await Cluster.withRuntime { runtime in
            let host = try await Self.freePort(runtime)
            let client = RPCClient(runtime: runtime, endpoint: .tcp([host]))
            let node = Node("a", runtime: runtime)
            let cluster = Cluster(client: client, runtime: runtime, nodes: [node])
            var impatient = CallOptions(timeout: .seconds(20))
            impatient.retry = RetryPolicy.none
            let failure = await failure { try await cluster.call(Node.plain, impatient) }
            #expect(failure?.reason == "UNREACHABLE")
            #expect((failure?.retryAfterMs ?? 0) > 0)
            // The peer is blocked now: these wait.
            async let first = cluster.call(Node.plain, Self.waiting())
            async let bulk: RawMessage = client.clientStreaming(Node.upload, options: Self.waiting()) { writer in
                try await writer.write(bytes(1))
            }
            while client.pool.waitingCount < 2 { await Task.yield() }
            try await node.start(port: host.port)
            check(try await first, "a")
            _ = try await bulk
            await client.shutdown()
            await node.server.shutdown(grace: .seconds(1))
        }
    }

    @Test func waitForReadyTakesWhicheverServerComes() async throws {
        try await Cluster.withRuntime { runtime in
            let hosts = [try await Self.freePort(runtime), try await Self.freePort(runtime)]
            for host in hosts {
                let client = RPCClient(runtime: runtime, endpoint: .tcp(hosts))
                let node = Node("a", runtime: runtime)
                let cluster = Cluster(client: client, runtime: runtime, nodes: [node])
                async let answer = cluster.call(Node.plain, Self.waiting())
                async let bulk: RawMessage = client.clientStreaming(Node.upload, options: Self.waiting()) { writer in
                    try await writer.write(bytes(1))
                }
                while client.pool.waitingCount < 2 { await Task.yield() }
                try await node.start(port: host.port)
                check(try await answer, "a")
                _ = try await bulk
                await client.shutdown()
                await node.server.shutdown(grace: .seconds(1))
            }
        }
    }

    @Test func waitForReadyEndsAtTheDeadlineAndSaysWhy() async throws {
        try await Cluster.withRuntime { runtime in
            let host = try await Self.freePort(runtime)
            let client = RPCClient(runtime: runtime, endpoint: .tcp([host]))
            let cluster = Cluster(client: client, runtime: runtime, nodes: [])
            let failure = await failure { try await cluster.call(Node.plain, Self.waiting(.milliseconds(60))) }
            #expect(failure?.code == .deadlineExceeded)
            #expect(failure?.reason == "NOT_CONNECTED")
            #expect(failure?.message.contains(host.description) == true)
            await client.shutdown()
        }
    }

    @Test func cancellingWhileWaitingForReadyLeavesNobodyBehind() async throws {
        try await Cluster.withRuntime { runtime in
            let client = RPCClient(runtime: runtime, endpoint: .tcp([try await Self.freePort(runtime)]))
            let cluster = Cluster(client: client, runtime: runtime, nodes: [])
            let task = Task { try await cluster.call(Node.plain, Self.waiting(nil)) }
            while client.pool.waitingCount == 0 { await Task.yield() }
            task.cancel()
            #expect(await failure { try await task.value }?.code == .cancelled)
            #expect(client.pool.waitingCount == 0)
            // One that is cancelled before it begins.
            let early = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await cluster.call(Node.plain, Self.waiting(nil))
            }
            #expect(await failure { try await early.value }?.code == .cancelled)
            #expect(client.pool.waitingCount == 0)
            await client.shutdown()
        }
    }

    @Test func cancellingWhileConnectingEndsTheCallAtOnce() async throws {
        try await Cluster.withRuntime { runtime in
            let hole = try BlackHole()
            let client = RPCClient(runtime: runtime, endpoint: .tcp([hole.host]), configuration: Self.patient)
            let cluster = Cluster(client: client, runtime: runtime, nodes: [])
            let task = Task { try await cluster.call(Node.plain, CallOptions()) }
            while client.pool.waitingCount == 0 { await Task.yield() }
            task.cancel()
            #expect(await failure { try await task.value }?.code == .cancelled)
            #expect(client.pool.waitingCount == 0)
            // The attempt itself does not hold up the end.
            let start = MonotonicTime.now()
            await client.shutdown()
            #expect(start.duration(to: .now()) < .seconds(30))
            hole.close()
        }
    }

    @Test func aServerThatDoesNotAnswerTheConnectionIsPassedByWhenAnotherDoes() async throws {
        try await Cluster.withRuntime { runtime in
            let hole = try BlackHole()
            let node = Node("a", runtime: runtime)
            try await node.start()
            let client = RPCClient(
                runtime: runtime, endpoint: .tcp([hole.host, node.host]), configuration: Self.patient)
            let cluster = Cluster(client: client, runtime: runtime, nodes: [node])
            // A call that waited for the other address would end at its deadline of 20 s.
            for _ in 0..<10 { check(try await cluster.call(), "a") }
            await client.shutdown()
            await node.server.shutdown(grace: .seconds(1))
            hole.close()
        }
    }

    @Test func aServerThatReturnsOnItsPortIsFound() async throws {
        try await Cluster.withRuntime { runtime in
            let first = Node("first", runtime: runtime)
            try await first.startOnLastingPort()
            let client = RPCClient(runtime: runtime, endpoint: .tcp([first.host]))
            let cluster = Cluster(client: client, runtime: runtime, nodes: [])
            check(try await cluster.call(), "first")
            await first.server.shutdown(grace: .seconds(1))
            let second = Node("second", runtime: runtime)
            try await second.start(port: first.host.port)
            check(try await cluster.call(Node.plain, Self.waiting()), "second")
            check(try await cluster.call(), "second")
            await client.shutdown()
            await second.server.shutdown(grace: .seconds(1))
        }
    }

    @Test func shutdownLetsCallsInFlightFinishAndFailsWhoWaits() async throws {
        let gate = Gate()
        let started = Gate()
        try await Cluster.single(
            .init(handler: { _, context in
                guard context.method == Node.plain else { return }
                started.open()
                await gate.wait()
            })
        ) { cluster in
            async let answer = cluster.call(Node.plain)
            await started.wait()
            await cluster.client.shutdown()
            let late = await failure { try await cluster.call(Node.safe) }
            #expect(late?.reason == "CLIENT_CLOSED")
            gate.open()
            check(try await answer, "a")
        }
        try await Cluster.withRuntime { runtime in
            let client = RPCClient(runtime: runtime, endpoint: .tcp([try await Self.freePort(runtime)]))
            let cluster = Cluster(client: client, runtime: runtime, nodes: [])
            let task = Task { try await cluster.call(Node.plain, Self.waiting(nil)) }
            while client.pool.waitingCount == 0 { await Task.yield() }
            await client.shutdown()
            #expect(await failure { try await task.value }?.reason == "CLIENT_CLOSED")
        }
    }

    @Test func aClientThatIsDroppedClosesItsConnections() async throws {
        try await Cluster.withRuntime { runtime in
            let node = Node("a", runtime: runtime)
            try await node.start()
            var client: RPCClient? = RPCClient(runtime: runtime, endpoint: .tcp([node.host]))
            let _: RawMessage? = try await client?.unary(Node.plain, RawMessage())
            client = nil
            await node.disconnected.wait()
            await node.server.shutdown(grace: .seconds(1))
        }
    }

    @Test func endpointsListHostsAndBracketedAddresses() throws {
        func hosts(_ text: String) throws -> [Endpoint.Host] { try Endpoint(text).hosts }
        #expect(try hosts("acp://one:1,two:2") == [.init(name: "one", port: 1), .init(name: "two", port: 2)])
        #expect(
            try hosts("[fd00::5]:8000,127.0.0.1:1/") == [
                .init(name: "fd00::5", port: 8000), .init(name: "127.0.0.1", port: 1),
            ])
        #expect(try Endpoint("http://[::1]:8000,b:2").description == "[::1]:8000,b:2")
        #expect(try hosts("unix:///tmp/socket").isEmpty)
        for bad in ["one", "one:0", "one:1,", ",one:1", "one:1 two:2", "::1:8000", "[]:1", "one:70000", "a/b:1", ""] {
            #expect(throws: Failure.self, "\(bad)") { try Endpoint(bad) }
        }
    }
}

/// A listener that answers no connection: its queue is full.
private struct BlackHole {
    let host: Endpoint.Host
    private let descriptors: [CInt]

    init() throws {
        func address(_ port: in_port_t) -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            return address
        }
        func with<T>(_ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> T) -> T {
            withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) }
            }
        }
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var local = address(0)
        try #require(with(&local) { bind(listener, $0, size) } == 0)
        try #require(listen(listener, 0) == 0)
        var length = size
        try #require(with(&local) { getsockname(listener, $0, &length) } == 0)
        var descriptors = [listener]
        for _ in 0..<2 {
            let filler = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            var remote = address(local.sin_port)
            _ = with(&remote) { connect(filler, $0, size) }
            descriptors.append(filler)
        }
        self.descriptors = descriptors
        host = Endpoint.Host(name: "127.0.0.1", port: Int(UInt16(bigEndian: local.sin_port)))
    }

    func close() { for descriptor in descriptors { Glibc.close(descriptor) } }
}
