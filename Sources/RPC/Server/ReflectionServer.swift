internal import Core
internal import Synchronization

/// `acp.v1.Reflection` for the methods of one port.
public struct ReflectionServer: ReflectionService {
    /// Items of a page, and how many when the caller does not say.
    private static let pageMax = 100
    /// Bytes of the files in one answer, except that there is always one file.
    private static let answerBytesMax = 1 << 20

    private let index: LazyIndex

    /// Describes `methods` by the proto files that the program was generated from.
    public init(methods: [MethodDescriptor]) {
        index = LazyIndex { ReflectionIndex(methods, .embedded) }
    }

    /// - Parameter descriptors: proto files of other services, each a serialized google.protobuf.FileDescriptorProto.
    /// - Throws: `Failure` INTERNAL `BAD_DESCRIPTOR` for files that cannot be read.
    public init(methods: [MethodDescriptor], descriptors: [[UInt8]]) throws {
        let set = try DescriptorSet.embedded.adding(descriptors)
        index = LazyIndex { ReflectionIndex(methods, set) }
    }

    /// Makes `router` describe what it has so far, and this service itself: call it last.
    public static func add(to router: inout ServiceRouter) {
        ReflectionServer(methods: router.methods + ReflectionMethods.all).register(in: &router)
    }

    public func listServices(
        _ request: ListServicesRequest, _ context: ServerContext
    ) async throws -> ListServicesResponse {
        let limit = try Self.pageSize(request.pageSize)
        let services = try await offLoop { [index] in index.made.services }
        // The token is the last name of the page before: it holds whatever else was deployed meanwhile.
        let rest = request.pageToken.isEmpty ? services[...] : services.drop { $0.name <= request.pageToken }
        let page = Array(rest.prefix(limit))
        return ListServicesResponse(
            services: page, nextPageToken: rest.count > page.count ? page.last?.name ?? "" : "")
    }

    public func getFileDescriptors(
        _ request: GetFileDescriptorsRequest, _ context: ServerContext
    ) async throws -> GetFileDescriptorsResponse {
        let limit = try Self.pageSize(request.pageSize)
        let files = try await offLoop { [index] in try index.made.files(request.query) }
        var next = 0
        if !request.pageToken.isEmpty {
            guard let last = files.firstIndex(where: { $0.name == request.pageToken }) else {
                throw Failure.invalid(field: "page_token", "is not a token of an answer to the same question")
            }
            next = last + 1
        }
        var response = GetFileDescriptorsResponse()
        var bytes = 0
        while next < files.count, response.files.count < limit {
            bytes += files[next].bytes.count
            guard response.files.isEmpty || bytes <= Self.answerBytesMax else { break }
            response.files.append(files[next].bytes)
            next += 1
        }
        if next < files.count { response.nextPageToken = files[next - 1].name }
        return response
    }

    private static func pageSize(_ size: UInt32) throws -> Int {
        guard size <= pageMax else {
            throw Failure.invalid(field: "page_size", "must be 1 to \(pageMax), or 0 for \(pageMax)")
        }
        return size == 0 ? pageMax : Int(size)
    }

    /// Reading the embedded files takes a few milliseconds, which a server that nobody asks does not spend.
    private final class LazyIndex: Sendable {
        private let make: @Sendable () -> ReflectionIndex
        private let index = Mutex<ReflectionIndex?>(nil)

        init(_ make: @escaping @Sendable () -> ReflectionIndex) { self.make = make }

        var made: ReflectionIndex {
            index.withLock { index in
                if let index { return index }
                let made = make()
                index = made
                return made
            }
        }
    }
}

/// The services of a port, and the proto files that define them.
struct ReflectionIndex: Sendable {
    struct File: Sendable {
        var name: String
        var bytes: [UInt8]
    }

    let services: [ReflectedService]
    private let set: DescriptorSet
    /// Names of the files that a service of this port needs.
    private let visible: Set<String>

    init(_ methods: [MethodDescriptor], _ set: DescriptorSet) {
        self.set = set
        var services: [ReflectedService] = []
        var visible: Set<String> = []
        for (name, methods) in Dictionary(grouping: methods, by: \.service).sorted(by: { $0.key < $1.key }) {
            let file = set.pool.file(declaring: name)?.name ?? ""
            visible.formUnion(set.closure(of: file))
            services.append(
                ReflectedService(
                    name: name,
                    methods: methods.sorted { $0.name < $1.name }.map {
                        ReflectedMethod(
                            name: $0.name, kind: CallKind($0), requestType: $0.requestType,
                            responseType: $0.responseType)
                    }, fileName: file))
        }
        self.services = services
        self.visible = visible
    }

    /// The file that was asked for after everything that it imports.
    /// - Throws: `Failure` NOT_FOUND, INVALID_ARGUMENT when nothing was asked for.
    func files(_ query: GetFileDescriptorsRequest.Query?) throws -> [File] {
        let (name, what): (String?, String) =
            switch query {
            case .symbol(let symbol):
                (set.pool.file(declaring: symbol)?.name, "is called \"\(symbol)\"")
            case .fileName(let name): (name, "is in a file \"\(name)\"")
            case nil: throw Failure.invalid(field: "query", "name a symbol or a file")
            }
        guard let name, visible.contains(name) else {
            throw Failure(
                .notFound, reason: "UNKNOWN_SYMBOL", "Nothing that this port serves \(what).",
                remedy: "`acp rpc list` shows what it serves.")
        }
        let needed = set.closure(of: name)
        return zip(set.pool.files, set.serialized).compactMap {
            needed.contains($0.name) ? File(name: $0.name, bytes: $1) : nil
        }
    }
}

extension CallKind {
    public init(_ method: MethodDescriptor) {
        self =
            switch (method.clientStreaming, method.serverStreaming) {
            case (false, false): .unary
            case (false, true): .serverStreaming
            case (true, false): .clientStreaming
            case (true, true): .bidirectional
            }
    }
}
