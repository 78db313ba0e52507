internal import Core
internal import NIOCore

/// Every method a server answers. Generated `register(in:)` functions fill it.
public struct ServiceRouter: Sendable {
    /// Runs a handler; returns the reply of methods that have exactly one, nil for those that wrote a stream of replies.
    typealias Invocation = @Sendable (RPCStream, ByteBuffer?, ServerContext) async throws -> (any WireMessage)?

    /// A class, because calls hold it and a descriptor is large.
    final class Entry: Sendable {
        let method: MethodDescriptor
        let invoke: Invocation

        init(method: MethodDescriptor, invoke: @escaping Invocation) {
            self.method = method
            self.invoke = invoke
        }
    }

    private(set) var entries: [[UInt8]: Entry] = [:]

    public init() {}

    /// Full names of the services that have methods here.
    public var services: [String] { Set(entries.values.map(\.method.service)).sorted() }

    /// Methods that are registered, by path.
    public var methods: [MethodDescriptor] { entries.values.map(\.method).sorted { $0.path < $1.path } }

    func entry(path: UnsafeBufferPointer<UInt8>) -> Entry? { table[path] }

    private var table = PathTable()

    private mutating func add(_ method: MethodDescriptor, _ invoke: @escaping Invocation) {
        let key = Array(method.path.utf8)
        precondition(entries[key] == nil, "a method is registered once")
        let entry = Entry(method: method, invoke: invoke)
        entries[key] = entry
        table.insert(key, entry)
    }

    public mutating func unary<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ handler: @escaping @Sendable (Request, ServerContext) async throws -> Response
    ) {
        add(method) { stream, first, context in
            if let first { return try await handler(try Request.decode(first), context) }
            return try await handler(try await Self.only(Request.self, stream), context)
        }
    }

    public mutating func serverStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor,
        _ handler: @escaping @Sendable (Request, ResponseWriter<Response>, ServerContext) async throws -> Void
    ) {
        add(method) { stream, first, context in
            let request: Request
            if let first {
                request = try Request.decode(first)
            } else {
                request = try await Self.only(Request.self, stream)
            }
            try await handler(request, ResponseWriter(stream: stream), context)
            return nil
        }
    }

    public mutating func clientStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor,
        _ handler: @escaping @Sendable (RequestReader<Request>, ServerContext) async throws -> Response
    ) {
        add(method) { stream, _, context in
            try await handler(RequestReader(stream: stream, lifetime: nil), context)
        }
    }

    public mutating func bidirectional<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor,
        _ handler:
            @escaping @Sendable (RequestReader<Request>, ResponseWriter<Response>, ServerContext) async throws -> Void
    ) {
        add(method) { stream, _, context in
            try await handler(
                RequestReader(stream: stream, lifetime: nil), ResponseWriter(stream: stream), context)
            return nil
        }
    }

    /// The one request message of a call whose REQUEST frame did not carry it.
    private static func only<Request: WireMessage>(
        _ type: Request.Type, _ stream: RPCStream
    ) async throws -> Request {
        guard let bytes = try await stream.next() else {
            throw Failure(.invalidArgument, reason: "NO_MESSAGE", "The call ended without its request message.")
        }
        return try Request.decode(bytes)
    }
}

/// Finds an entry by the bytes of a path without making a string of them.
struct PathTable: Sendable {
    private var buckets: [[(key: [UInt8], entry: ServiceRouter.Entry)]] = Array(repeating: [], count: 256)

    mutating func insert(_ key: [UInt8], _ entry: ServiceRouter.Entry) {
        key.withUnsafeBufferPointer { buckets[Self.bucket($0)].append((key, entry)) }
    }

    subscript(path: UnsafeBufferPointer<UInt8>) -> ServiceRouter.Entry? {
        for candidate in buckets[Self.bucket(path)] where candidate.key.count == path.count {
            if candidate.key.elementsEqual(path) { return candidate.entry }
        }
        return nil
    }

    /// FNV-1a, folded to the number of buckets. The set of keys is ours, so nobody can choose collisions into it.
    private static func bucket(_ path: UnsafeBufferPointer<UInt8>) -> Int {
        var hash: UInt32 = 2_166_136_261
        for byte in path { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return Int((hash ^ hash >> 16) & 255)
    }
}
