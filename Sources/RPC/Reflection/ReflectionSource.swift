internal import Core

/// Asks a server what it answers. The server is not trusted: what it says is bounded and checked.
public struct ReflectionSource: Sendable {
    private let client: ReflectionClient
    private let timeout: Duration
    private let limits: DescriptorPool.Limits
    private static let pagesMax = 1000

    /// - Parameter timeout: for all answers to one question together.
    public init(
        _ client: RPCClient, timeout: Duration = .seconds(30), limits: DescriptorPool.Limits = DescriptorPool.Limits()
    ) {
        self.client = ReflectionClient(client)
        self.timeout = timeout
        self.limits = limits
    }

    /// The services of the server, by name.
    /// - Throws: `Failure` UNIMPLEMENTED `NO_REFLECTION` for a server without the service; what its answer says otherwise.
    public func services() async throws -> [ReflectedService] {
        let deadline = MonotonicTime.now().advanced(by: timeout)
        var services: [ReflectedService] = []
        var names = 0
        var pages = 0
        var request = ListServicesRequest()
        repeat {
            let response = try await ask(deadline) { try await client.listServices(request, options: $0) }
            services += response.services
            names += response.services.reduce(0) { $0 + 1 + $1.methods.count }
            guard names <= limits.namesMax else {
                throw ProtoReader.bad("it lists more than \(limits.namesMax) methods")
            }
            try turn(&pages, from: request.pageToken, to: response.nextPageToken, isEmpty: response.services.isEmpty)
            request.pageToken = response.nextPageToken
        } while !request.pageToken.isEmpty
        return services.sorted { $0.name < $1.name }
    }

    /// The files that define `symbol`, with all that they import.
    /// - Throws: `Failure` NOT_FOUND when the server has no such thing, INTERNAL `BAD_DESCRIPTOR` when what it sends makes no sense.
    public func pool(defining symbol: String) async throws -> DescriptorPool {
        let deadline = MonotonicTime.now().advanced(by: timeout)
        var files: [[UInt8]] = []
        var bytes = 0
        var pages = 0
        var request = GetFileDescriptorsRequest(query: .symbol(symbol))
        repeat {
            let response = try await ask(deadline) { try await client.getFileDescriptors(request, options: $0) }
            files += response.files
            bytes += response.files.reduce(0) { $0 + $1.count }
            guard files.count <= limits.filesMax, bytes <= limits.bytesMax else {
                throw ProtoReader.bad("it has more than \(limits.filesMax) files or \(limits.bytesMax) bytes of them")
            }
            try turn(&pages, from: request.pageToken, to: response.nextPageToken, isEmpty: response.files.isEmpty)
            request.pageToken = response.nextPageToken
        } while !request.pageToken.isEmpty
        let pool = try DescriptorPool(files: files, limits: limits)
        guard pool.symbol(symbol) != nil else {
            throw ProtoReader.bad("the files that it sends for \(symbol) do not define it")
        }
        return pool
    }

    private func ask<Response>(
        _ deadline: MonotonicTime, _ call: (CallOptions) async throws -> Response
    ) async throws -> Response {
        do {
            let left = MonotonicTime.now().duration(to: deadline)
            return try await call(CallOptions(timeout: max(left, .microseconds(1))))
        } catch let failure as Failure where failure.code == .unimplemented {
            throw Failure(
                .unimplemented, reason: "NO_REFLECTION",
                "The server does not say what it answers: it has no acp.v1.Reflection.",
                remedy: "Update the server, or use a program that was built with its proto files.")
        }
    }

    /// A server that pages for ever must not be followed for ever.
    private func turn(_ pages: inout Int, from token: String, to next: String, isEmpty: Bool) throws {
        pages += 1
        guard next.isEmpty || (!isEmpty && next != token && pages < Self.pagesMax) else {
            throw ProtoReader.bad("its pages do not end")
        }
    }
}
