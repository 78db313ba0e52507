import Core
import NIOCore
import RPC
import Synchronization
import Testing

@Suite struct InterceptorTests {
    private final class Log: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private struct Named: ServerInterceptor {
        let name: String
        let log: Log

        func intercept(_ context: ServerContext, next: () async throws -> Void) async throws {
            log.add("\(name) before \(context.method.name)")
            do { try await next() } catch let failure as Failure {
                log.add("\(name) saw \(failure.code.name)")
                var better = failure
                better.remedy += " \(name)"
                throw better
            }
            log.add("\(name) after")
        }
    }

    private struct Observer: ServerObserver {
        struct One: MethodObserver {
            let method: String
            let log: Log

            func callEnded(_ call: CallContext, failure: Failure?, nanoseconds: Int64, queuedNanoseconds: Int64) {
                log.add("\(method) \(failure?.code.name ?? "OK") \(call.requestID) \(nanoseconds >= 0)")
            }
        }

        let log: Log

        func observe(_ method: MethodDescriptor) -> any MethodObserver { One(method: method.name, log: log) }
        func connectionsChanged(_ count: Int) {}
    }

    private func with(
        _ configure: (inout RPCServer.Configuration) -> Void, _ body: (RPCClient) async throws -> Void
    ) async throws {
        let runtime = RPCRuntime(threads: 1)
        var configuration = RPCServer.Configuration()
        configure(&configuration)
        let server = RPCServer(
            runtime: runtime, router: TestSystem.router(TestSystem.Observed()), configuration: configuration)
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(server))
        let result: Result<Void, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        await client.shutdown()
        await server.shutdown(grace: .seconds(1))
        await runtime.shutdown()
        try result.get()
    }

    @Test func theFirstOfAListIsTheOutermost() async throws {
        let log = Log()
        try await with {
            $0.interceptors = [Named(name: "outer", log: log), Named(name: "inner", log: log)]
        } _: { client in
            // Small and larger than a frame: replies wait for the interceptors either way.
            for count in [3, 200_000] {
                let reply: RawMessage = try await client.unary(TestSystem.echo, bytes(count))
                #expect(reply.bytes.readableBytes == count)
            }
        }
        let once = ["outer before Echo", "inner before Echo", "inner after", "outer after"]
        #expect(log.all == once + once)
    }

    @Test func failuresPassThroughAndMayBeMadeBetter() async throws {
        let log = Log()
        try await with {
            $0.interceptors = [Named(name: "outer", log: log), Named(name: "inner", log: log)]
        } _: { client in
            let failure = await failure { () -> SearchResponse in
                try await client.unary(
                    TestSystem.fail, SearchRequest(query: "q", limit: UInt32(StatusCode.aborted.rawValue)))
            }
            #expect(failure?.remedy == "Ask for something else. inner outer")
        }
        #expect(
            log.all == ["outer before Fail", "inner before Fail", "inner saw ABORTED", "outer saw ABORTED"])
    }

    @Test func observersSeeEveryEndAlsoOfCallsWithoutAMethod() async throws {
        let log = Log()
        try await with {
            $0.observer = Observer(log: log)
        } _: { client in
            var options = CallOptions()
            options.requestID = "r1"
            let _: RawMessage = try await client.unary(TestSystem.echo, bytes(1), options: options)
            options.requestID = "r2"
            _ = await failure { () -> RawMessage in
                try await client.unary(TestSystem.adminOnly, bytes(1), options: options)
            }
            _ = await failure { () -> RawMessage in
                try await client.unary(TestSystem.method("Nothing"), bytes(1), options: options)
            }
        }
        #expect(log.all.prefix(2) == ["Echo OK r1 true", "AdminOnly UNAUTHENTICATED r2 true"])
        #expect(log.all.last?.hasPrefix("refused UNIMPLEMENTED") == true)
    }

    // MARK: Of clients

    private struct Caller: ClientInterceptor {
        let name: String
        let log: Log
        var skips = false

        func intercept(
            _ method: MethodDescriptor, _ options: CallOptions, next: (CallOptions) async throws -> Void
        ) async throws {
            log.add("\(name) before \(method.name)")
            if skips { return }
            var options = options
            try options.metadata.add("color", name)
            do { try await next(options) } catch let failure as Failure {
                log.add("\(name) saw \(failure.code.name)")
                var better = failure
                better.remedy += " \(name)"
                throw better
            }
            log.add("\(name) after")
        }
    }

    private func withCallers(_ callers: [any ClientInterceptor], _ body: (RPCClient) async throws -> Void) async throws
    {
        let runtime = RPCRuntime(threads: 1)
        let server = RPCServer(runtime: runtime, router: TestSystem.router(TestSystem.Observed()))
        var configuration = RPCClient.Configuration()
        configuration.interceptors = callers
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(server), configuration: configuration)
        let result: Result<Void, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        await client.shutdown()
        await server.shutdown(grace: .seconds(1))
        await runtime.shutdown()
        try result.get()
    }

    @Test func thoseOfAClientSurroundEachKindOfCallAndMayChangeItsOptions() async throws {
        let log = Log()
        try await withCallers([Caller(name: "outer", log: log), Caller(name: "inner", log: log)]) { client in
            let seen: SearchResponse = try await client.unary(TestSystem.context, RawMessage())
            // Both have added a pair; the first is the outermost's.
            #expect(seen.unmatchedTerms[3] == "outer")
            let replies: ResponseReader<SearchResponse> = try await client.serverStreaming(
                TestSystem.count, SearchRequest(limit: 2))
            while try await replies.next() != nil {}
            let sum: SearchResponse = try await client.clientStreaming(TestSystem.sum) { writer in
                try await writer.write(SearchRequest(query: "abc"))
            }
            #expect(sum.sequence == 3)
            let echoed = try await client.bidirectional(TestSystem.chat) {
                (writer: RequestWriter<RawMessage>, reader: ResponseReader<RawMessage>) in
                try await writer.write(bytes(4))
                return try await reader.next()
            }
            #expect(echoed?.bytes.readableBytes == 4)
        }
        let expected = ["Context", "Count", "Sum", "Chat"].flatMap {
            ["outer before \($0)", "inner before \($0)", "inner after", "outer after"]
        }
        #expect(log.all == expected)
    }

    @Test func thoseOfAClientSeeFailuresAndMayMakeThemBetter() async throws {
        let log = Log()
        try await withCallers([Caller(name: "outer", log: log), Caller(name: "inner", log: log)]) { client in
            let failure = await failure { () -> SearchResponse in
                try await client.unary(
                    TestSystem.fail, SearchRequest(query: "q", limit: UInt32(StatusCode.aborted.rawValue)))
            }
            #expect(failure?.remedy == "Ask for something else. inner outer")
        }
        #expect(log.all.suffix(2) == ["inner saw ABORTED", "outer saw ABORTED"])
    }

    @Test func oneThatDoesNotMakeTheCallIsNamed() async throws {
        let log = Log()
        try await withCallers([Caller(name: "lazy", log: log, skips: true)]) { client in
            let failure = await failure { () -> RawMessage in try await client.unary(TestSystem.echo, bytes(1)) }
            #expect(failure?.reason == "NOT_CALLED")
        }
    }
}
