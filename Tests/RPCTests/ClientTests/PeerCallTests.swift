import Core
import NIOCore
import Synchronization
import Testing

@testable import RPC

@Suite struct PeerCallTests {
    @Test func callsGoToTheServerWithTheFewestInFlight() async throws {
        try await Cluster.withRuntime { runtime in
            let gate = Gate()
            let isHolding = Counter()
            let holding = Counter()
            let nodes = ["a", "b", "c"].map { name in
                Node(name, runtime: runtime) { _, _ in
                    guard isHolding.value > 0 else { return }
                    holding.add()
                    await gate.wait()
                }
            }
            try await Cluster.with(nodes, on: runtime) { cluster in
                try await cluster.warmUp()
                isHolding.add()
                try await withThrowingTaskGroup(of: String.self) { group in
                    for _ in 0..<12 { group.addTask { try await cluster.call() } }
                    while holding.value < 12 { await Task.yield() }
                    gate.open()
                    var served: [String: Int] = [:]
                    for try await name in group { served[name, default: 0] += 1 }
                    #expect(served == ["a": 4, "b": 4, "c": 4])
                }
            }
        }
    }

    @Test func aServerThatStopsCostsNoCallWhateverItsMethod() async throws {
        try await Cluster.withRuntime { runtime in
            let nodes = ["a", "b"].map { Node($0, runtime: runtime) }
            try await Cluster.with(nodes, on: runtime) { cluster in
                try await cluster.warmUp()
                let isOver = Counter()
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<8 {
                        group.addTask {
                            var calls = 0
                            while isOver.value == 0 {
                                _ = try await cluster.call(Node.plain)
                                calls += 1
                            }
                            return calls
                        }
                    }
                    let before = nodes[0].calls.value
                    while nodes[0].calls.value < before + 100 { await Task.yield() }
                    await nodes[0].server.shutdown(grace: .seconds(20))
                    let after = nodes[1].calls.value
                    while nodes[1].calls.value < after + 1000 { await Task.yield() }
                    isOver.add()
                    // A call that had failed would throw here.
                    var calls = 0
                    for try await count in group { calls += count }
                    #expect(calls > 1000)
                }
            }
        }
    }

    @Test func callsInFlightFinishOnAServerThatDrains() async throws {
        try await Cluster.withRuntime { runtime in
            let gate = Gate()
            let started = Gate()
            let nodes = [
                Node("a", runtime: runtime) { _, context in
                    guard context.method == Node.plain else { return }
                    started.open()
                    await gate.wait()
                },
                Node("b", runtime: runtime),
            ]
            try await Cluster.with(nodes, on: runtime) { cluster in
                try await cluster.warmUp()
                let held = Task { () -> String in
                    var name = ""
                    repeat { name = try await cluster.call(Node.plain) } while name != "a"
                    return name
                }
                await started.wait()
                let stop = Task { await nodes[0].server.shutdown(grace: .seconds(20)) }
                for _ in 0..<100 { _ = try await cluster.call(Node.safe) }
                gate.open()
                check(try await held.value, "a")
                await stop.value
            }
        }
    }

    @Test func aServerThatKeepsFailingIsLeftAlone() async throws {
        try await Cluster.withRuntime { runtime in
            let nodes = [
                Node("broken", runtime: runtime) { _, context in
                    if context.method == Node.plain { throw Failure(.internalError, "Broken.") }
                },
                Node("sound", runtime: runtime),
            ]
            // Longer than a test can take on the slowest machine.
            try await Cluster.with(nodes, on: runtime, configure: { $0.outliers.ejectionMs = 3_600_000 }) { cluster in
                try await cluster.warmUp()
                let before = nodes[0].calls.value
                var failures = 0
                for _ in 0..<500 {
                    if await failure({ try await cluster.call(Node.plain) }) != nil { failures += 1 }
                }
                #expect(failures == OutlierPolicy().consecutiveFailuresMax)
                #expect(nodes[0].calls.value == before + failures)
            }
        }
    }

    @Test func anAddressThatCannotBeReachedCostsNothingWhenAnotherCan() async throws {
        try await Cluster.withRuntime { runtime in
            let gone = Node("gone", runtime: runtime)
            try await gone.start()
            await gone.server.shutdown(grace: .zero)
            let node = Node("a", runtime: runtime)
            try await node.start()
            for _ in 0..<20 {
                let client = RPCClient(runtime: runtime, endpoint: .tcp([gone.host, node.host]))
                let cluster = Cluster(client: client, runtime: runtime, nodes: [node])
                var options = CallOptions(timeout: .seconds(20))
                options.retry = RetryPolicy.none
                check(try await cluster.call(Node.plain, options), "a")
                await client.shutdown()
            }
            await node.server.shutdown(grace: .seconds(1))
        }
    }

    @Test func aNameIsResolvedAndItsAddressesAreTried() async throws {
        try await Cluster.withRuntime { runtime in
            let node = Node("a", runtime: runtime)
            try await node.start()
            // Both 127.0.0.1, where the node listens, and perhaps ::1, where it does not.
            let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "localhost", port: node.host.port))
            let cluster = Cluster(client: client, runtime: runtime, nodes: [node])
            for _ in 0..<10 { check(try await cluster.call(), "a") }
            await client.shutdown()
            await node.server.shutdown(grace: .seconds(1))
        }
    }

    @Test func aNameThatDoesNotExistSaysSo() async throws {
        try await Cluster.withRuntime { runtime in
            var configuration = RPCClient.Configuration()
            configuration.retry = .none
            configuration.serviceName = "the test service"
            let client = RPCClient(
                runtime: runtime, endpoint: .tcp(host: "no-such-host.invalid", port: 1), configuration: configuration)
            let cluster = Cluster(client: client, runtime: runtime, nodes: [])
            let failure = await failure { try await cluster.call() }
            #expect(failure?.code == .unavailable)
            #expect(failure?.reason == "UNREACHABLE")
            #expect(failure?.message.contains("the test service at no-such-host.invalid:1") == true)
            await client.shutdown()
        }
    }

    @Test func aBulkTransferHasAConnectionOfItsOwn() async throws {
        let gate = Gate()
        try await Cluster.single(
            .init(handler: { _, context in
                if context.method == Node.upload { await gate.wait() }
            })
        ) { cluster in
            let node = cluster.nodes[0]
            async let uploaded: RawMessage = cluster.client.clientStreaming(
                Node.upload, options: CallOptions(timeout: .seconds(20))
            ) { writer in
                for _ in 0..<20 { try await writer.write(bytes(60_000)) }
            }
            while node.calls.value == 0 { await Task.yield() }
            // The upload fills its window and waits; these do not.
            for _ in 0..<5 { _ = try await cluster.call() }
            var options = CallOptions(timeout: .seconds(20))
            options.isBulk = true
            let replies: ResponseReader<RawMessage> = try await cluster.client.serverStreaming(
                Node.early, RawMessage(), options: options)
            for try await _ in replies {}
            gate.open()
            _ = try await uploaded
            let connections = node.connections
            #expect(connections.count == 7)
            #expect(Set(connections[1...5]).count == 1)
            #expect(connections[0] != connections[1])
            #expect(connections[0] == connections[6])
        }
    }

    @Test func aBulkConnectionThatNobodyUsesIsClosed() async throws {
        try await Cluster.single(
            .init(configure: {
                $0.bulkIdleMs = 200
            })
        ) { cluster in
            let node = cluster.nodes[0]
            func upload() async throws {
                let _: RawMessage = try await cluster.client.clientStreaming(Node.upload) { writer in
                    try await writer.write(bytes(1))
                }
            }
            _ = try await cluster.call()
            try await upload()
            await node.disconnected.wait()
            // The other is still there, and a new one is made when it is wanted.
            _ = try await cluster.call()
            try await upload()
            let connections = node.connections
            #expect(connections[0] == connections[2])
        }
    }

    @Test func aConnectionWithoutNumbersLeftIsReplaced() async throws {
        try await Cluster.single { cluster in
            _ = try await cluster.call()
            let lease = try #require(cluster.client.pool.ready(.interactive))
            lease.connection.execute { lease.connection.skipStreams(to: UInt32.max - 10) }
            for _ in 0..<20 { check(try await cluster.call(), "a") }
            #expect(Set(cluster.nodes[0].connections).count == 2)
        }
    }
}
