import Core
import NIOCore
import RPC
import Testing

/// `acp.v1.Reflection` behind a real server, and what a client makes of its answers.
@Suite struct ReflectionServiceTests {
    /// Serves Health, Reflection and what `more` registers, to callers without credentials.
    private static func with(
        _ more: (inout ServiceRouter) throws -> Void = { ReflectionServer.add(to: &$0) },
        _ body: (RPCClient) async throws -> Void
    ) async throws {
        let runtime = RPCRuntime(threads: 1)
        var router = ServiceRouter()
        HealthServer { _ in HealthCheckResponse(status: .serving) }.register(in: &router)
        try more(&router)
        let client = RPCClient(
            runtime: runtime, endpoint: .inProcess(RPCServer(runtime: runtime, router: router)))
        let result: Result<Void, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        await client.shutdown()
        await runtime.shutdown()
        try result.get()
    }

    private func failure(_ body: () async throws -> Void) async -> Failure? {
        do { try await body() } catch { return error as? Failure }
        return nil
    }

    @Test func aServerTellsWhatItServesAndNothingElse() async throws {
        try await Self.with { client in
            let services = try await ReflectionSource(client).services()
            #expect(services.map(\.name) == ["acp.v1.Health", "acp.v1.Reflection"])
            #expect(services[0].fileName == "acp/v1/health.proto")
            #expect(
                services[0].methods == [
                    ReflectedMethod(
                        name: "Check", kind: .unary, requestType: "acp.v1.HealthCheckRequest",
                        responseType: "acp.v1.HealthCheckResponse"),
                    ReflectedMethod(
                        name: "Watch", kind: .serverStreaming, requestType: "acp.v1.HealthCheckRequest",
                        responseType: "acp.v1.HealthCheckResponse"),
                ])
            // The program knows of these, the port does not serve them.
            for name in ["acp.v1.Ingest", "acp.v1.ExtractStart", "acp.wire.v1.Hello", "nothing", ""] {
                let refused = await failure { _ = try await ReflectionSource(client).pool(defining: name) }
                #expect(refused?.code == .notFound && refused?.reason == "UNKNOWN_SYMBOL", "\(name)")
            }
            let reflection = ReflectionClient(client)
            let byFile = GetFileDescriptorsRequest(query: .fileName("acp/v1/ingest.proto"))
            #expect(await failure { _ = try await reflection.getFileDescriptors(byFile) }?.code == .notFound)
            let nothing = await failure { _ = try await reflection.getFileDescriptors(GetFileDescriptorsRequest()) }
            #expect(nothing?.code == .invalidArgument)
        }
    }

    @Test func filesComeWithTheirImportsByAnyName() async throws {
        try await Self.with { client in
            let reflection = ReflectionClient(client)
            let names = [
                "acp.v1.Health", "acp.v1.Health.Check", "acp.v1.HealthCheckResponse",
                "acp.v1.HealthCheckResponse.SERVING", "acp.v1.DependencyHealth.detail",
            ]
            for name in names {
                let pool = try await ReflectionSource(client).pool(defining: name)
                #expect(pool.files.last?.name == "acp/v1/health.proto")
                #expect(pool.file(declaring: name)?.name == "acp/v1/health.proto")
                var seen: Set<String> = []
                for file in pool.files {
                    #expect(seen.isSuperset(of: file.imports))
                    seen.insert(file.name)
                }
            }
            let whole = try await reflection.getFileDescriptors(.init(query: .fileName("acp/v1/health.proto")))
            #expect(whole.nextPageToken.isEmpty)
            let pool = try DescriptorPool(files: whole.files)
            #expect(Set(pool.files.map(\.name)).contains("google/protobuf/descriptor.proto"))
        }
    }

    @Test func pagesMakeTheWhole() async throws {
        try await Self.with { client in
            let reflection = ReflectionClient(client)
            let whole = try await reflection.getFileDescriptors(.init(query: .symbol("acp.v1.Health"))).files
            var request = GetFileDescriptorsRequest(query: .symbol("acp.v1.Health"), pageSize: 2)
            var files: [[UInt8]] = []
            repeat {
                let page = try await reflection.getFileDescriptors(request)
                #expect((1...2).contains(page.files.count))
                files += page.files
                request.pageToken = page.nextPageToken
            } while !request.pageToken.isEmpty
            #expect(files == whole)

            let first = try await reflection.listServices(ListServicesRequest(pageSize: 1))
            #expect(first.services.map(\.name) == ["acp.v1.Health"])
            let second = try await reflection.listServices(
                ListServicesRequest(pageSize: 1, pageToken: first.nextPageToken))
            #expect(second.services.map(\.name) == ["acp.v1.Reflection"] && second.nextPageToken.isEmpty)

            for size in [UInt32(101), .max] {
                #expect(
                    await failure { _ = try await reflection.listServices(.init(pageSize: size)) }?.code
                        == .invalidArgument)
            }
            let foreign = await failure {
                _ = try await reflection.getFileDescriptors(
                    .init(query: .symbol("acp.v1.Health"), pageToken: "acp/v1/ingest.proto"))
            }
            #expect(foreign?.code == .invalidArgument)
        }
    }

    @Test func aMethodThatOnlyTheServerKnowsCanBeCalled() async throws {
        let files = try Compiled.files(
            """
            syntax = "proto3";
            package test.v1;
            service Doubler { rpc Double(Number) returns (Number); }
            message Number { sint64 value = 1; Number next = 2; }
            """)
        let method = try DescriptorPool(files: files).method("test.v1.Doubler.Double")
        try await Self.with({ router in
            let served = MethodDescriptor(
                path: method.path, service: method.service, name: method.name, requestType: method.requestType,
                responseType: method.responseType, clientStreaming: false, serverStreaming: false, access: .open,
                idempotent: true, uploadStartField: "", uploadDataField: "", httpRules: [])
            router.unary(served) { (request: RawMessage, _) in
                // Number.value is one zigzag byte here: twice the number is twice the byte.
                var bytes = Array(request.bytes.readableBytesView)
                bytes[1] *= 2
                return RawMessage(ByteBuffer(bytes: bytes))
            }
            try ReflectionServer(methods: router.methods, descriptors: files).register(in: &router)
        }) { client in
            let pool = try await ReflectionSource(client).pool(defining: "test.v1.Doubler.Double")
            let found = try pool.method("test.v1.Doubler.Double")
            let request = try pool.message(#"{"value":"21"}"#.utf8, type: found.requestType)
            let reply: RawMessage = try await client.unary(found, RawMessage(request))
            #expect(
                String(decoding: try pool.json(reply.bytes, type: found.responseType), as: UTF8.self)
                    == #"{"value":"42"}"#)
        }
    }

    @Test func aServerWithoutReflectionIsNamedAsThat() async throws {
        try await Self.with({ _ in }) { client in
            #expect(await failure { _ = try await ReflectionSource(client).services() }?.reason == "NO_REFLECTION")
        }
    }

    /// Answers that never end, lead nowhere or are not what was asked for.
    private struct Liar: ReflectionService {
        let files: [[UInt8]]
        var token = ""

        func listServices(_ request: ListServicesRequest, _ context: ServerContext) async throws -> ListServicesResponse
        {
            ListServicesResponse(services: [ReflectedService(name: "a")], nextPageToken: token + request.pageToken)
        }

        func getFileDescriptors(
            _ request: GetFileDescriptorsRequest, _ context: ServerContext
        ) async throws -> GetFileDescriptorsResponse {
            GetFileDescriptorsResponse(files: files, nextPageToken: token + request.pageToken)
        }
    }

    @Test func aServerThatLiesIsNotFollowed() async throws {
        let health = DescriptorPoolFiles.health
        for liar in [
            Liar(files: []), Liar(files: [[1, 2, 3]]), Liar(files: [Describe.file([])]), Liar(files: health + health),
            Liar(files: health, token: "x"), Liar(files: [], token: "x"),
            Liar(files: [[UInt8](repeating: 0, count: 3 << 20)], token: "x"),
        ] {
            try await Self.with({ liar.register(in: &$0) }) { client in
                let refused = await failure { _ = try await ReflectionSource(client).pool(defining: "acp.v1.Health") }
                #expect(refused?.reason == "BAD_DESCRIPTOR", "\(String(describing: refused))")
                guard !liar.token.isEmpty else { return }
                let listed = await failure { _ = try await ReflectionSource(client).services() }
                #expect(listed?.reason == "BAD_DESCRIPTOR")
            }
        }
    }

    @Test func allPagesTogetherHaveOneTimeLimit() async throws {
        try await Self.with({ Liar(files: [[]], token: "x").register(in: &$0) }) { client in
            let late = await failure {
                _ = try await ReflectionSource(client, timeout: .zero).pool(defining: "acp.v1.Health")
            }
            #expect(late?.code == .deadlineExceeded)
        }
    }
}

private enum DescriptorPoolFiles {
    static let health = [Describe.file([(6, .message(Describe.service("Health", [])))], package: "acp.v1")]
}
