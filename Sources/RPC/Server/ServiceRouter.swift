internal import Core
internal import Glibc
internal import NIOCore

/// Every method a server answers. Generated `register(in:)` functions fill it.
public struct ServiceRouter: Sendable {
    /// Runs a handler. Methods with exactly one reply leave it with `ServerStream.finish`, the others write theirs.
    typealias Invocation = @Sendable (ServerStream, ServerContext) async throws -> Void

    /// Starts the handler of a unary call whose request has come whole, when nothing else is to be waited for; nil when it has not, or
    /// the call is over already. One async call deep, because each level costs checks of the executor.
    typealias Beginning = @Sendable (ServerConnection, ServerStream) -> Task<Void, Never>?

    /// A class, because calls hold it.
    final class Entry: Sendable {
        let method: MethodDescriptor
        let invoke: Invocation
        let begin: Beginning?
        /// Position in the order of registration.
        let index: Int
        /// Anyone may call: nothing waits for an authenticator.
        let isOpen: Bool

        init(method: MethodDescriptor, index: Int, begin: Beginning?, invoke: @escaping Invocation) {
            self.method = method
            self.index = index
            self.begin = begin
            self.invoke = invoke
            isOpen = method.access == .open
        }
    }

    /// In the order of registration.
    private(set) var entries: [Entry] = []
    private var table = PathTable()

    public init() {}

    /// Full names of the services that have methods here.
    public var services: [String] { Set(entries.map(\.method.service)).sorted() }

    /// Methods that are registered, by path.
    public var methods: [MethodDescriptor] { entries.map(\.method).sorted { $0.path < $1.path } }

    func entry(path: UnsafeRawBufferPointer) -> Entry? { table[path] }

    private mutating func add(
        _ method: MethodDescriptor, begin: Beginning? = nil, _ invoke: @escaping Invocation
    ) {
        let entry = Entry(method: method, index: entries.count, begin: begin, invoke: invoke)
        precondition(table.insert(entry), "a method is registered once")
        entries.append(entry)
    }

    public mutating func unary<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ handler: @escaping @Sendable (Request, ServerContext) async throws -> Response
    ) {
        add(
            method,
            begin: { connection, stream in
                let request: Request
                do {
                    guard let bytes = try stream.takeMessage() else { return connection.serveLater(stream) }
                    request = try Request.decode(bytes)
                } catch {
                    connection.finish(stream, Failure(wrapping: error))
                    return nil
                }
                return CallContext.$current.withValue(stream.call) {
                    Task.immediate(executorPreference: connection.loopContext.executor) {
                        do {
                            stream.finish(try await handler(request, ServerContext(stream)))
                            if stream.reply == nil {
                                connection.finish(stream, nil)
                            } else {
                                await connection.complete(stream)
                            }
                        } catch {
                            connection.finish(stream, Failure(wrapping: error))
                        }
                    }
                }
            }
        ) { stream, context in
            stream.finish(try await handler(try await stream.onlyMessage(Request.self), context))
        }
    }

    public mutating func serverStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor,
        _ handler: @escaping @Sendable (Request, ResponseWriter<Response>, ServerContext) async throws -> Void
    ) {
        add(method) { stream, context in
            try await handler(
                try await stream.onlyMessage(Request.self), ResponseWriter(source: .server(stream)), context)
        }
    }

    public mutating func clientStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor,
        _ handler: @escaping @Sendable (RequestReader<Request>, ServerContext) async throws -> Response
    ) {
        add(method) { stream, context in
            stream.finish(try await handler(RequestReader(source: .server(stream)), context))
        }
    }

    public mutating func bidirectional<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor,
        _ handler:
            @escaping @Sendable (RequestReader<Request>, ResponseWriter<Response>, ServerContext) async throws -> Void
    ) {
        add(method) { stream, context in
            try await handler(
                RequestReader(source: .server(stream)), ResponseWriter(source: .server(stream)), context)
        }
    }
}

/// Finds an entry by the bytes of a path without making a string of them.
struct PathTable: Sendable {
    private var buckets: [[ServiceRouter.Entry]] = Array(repeating: [], count: 256)

    /// False when an entry with this path is there.
    mutating func insert(_ entry: ServiceRouter.Entry) -> Bool {
        let bucket = entry.method.pathBytes.withUnsafeBytes { self[$0] == nil ? Self.bucket($0) : nil }
        guard let bucket else { return false }
        buckets[bucket].append(entry)
        return true
    }

    subscript(path: UnsafeRawBufferPointer) -> ServiceRouter.Entry? {
        for candidate in buckets[Self.bucket(path)] {
            let isSame = candidate.method.pathBytes.withUnsafeBytes { known in
                known.count == path.count && memcmp(known.baseAddress!, path.baseAddress!, known.count) == 0
            }
            if isSame { return candidate }
        }
        return nil
    }

    /// Length and last eight bytes, which differ between the methods of a service. The set of keys is ours, so nobody can choose
    /// collisions into it.
    private static func bucket(_ path: UnsafeRawBufferPointer) -> Int {
        guard path.count >= 8 else { return path.count }
        let end = path.loadUnaligned(fromByteOffset: path.count - 8, as: UInt64.self)
        return Int(truncatingIfNeeded: ((end ^ UInt64(path.count)) &* 0x9E37_79B9_7F4A_7C15) >> 56)
    }
}
