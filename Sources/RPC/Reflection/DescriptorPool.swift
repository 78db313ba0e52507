internal import Core
public import NIOCore
internal import Synchronization

/// Everything that a set of proto files declares, by name; and JSON for messages that this program learns of at run time.
///
/// The files may come from any server: whatever they say, at worst a call is refused with a reason. Types are prepared when they are
/// first used, with all that they refer to; a reference that leads nowhere matters only then.
public final class DescriptorPool: Sendable {
    /// What a set of files may cost.
    public struct Limits: Sendable, Hashable {
        public var filesMax = 1000
        /// Bytes of all files together, serialized.
        public var bytesMax = 16 << 20
        /// Messages, fields, oneofs, enums, values, services and methods.
        public var namesMax = 100_000
        /// Messages that one message may lead to, itself included.
        public var reachableMessagesMax = 10_000
        public var fieldsPerMessageMax = 4096

        public init() {}
    }

    /// Something that has a full name.
    public enum Symbol: Sendable {
        case message(Proto.Message)
        case enumeration(Proto.Enumeration)
        case value(Proto.Enumeration.Value, of: Proto.Enumeration)
        case field(Proto.Field, of: Proto.Message)
        case `extension`(Proto.Field)
        case service(Proto.Service)
        case method(Proto.Method)
    }

    /// In the order in which they were given.
    public let files: [Proto.File]
    let limits: Limits
    private let symbols: [String: (symbol: Symbol, file: Int)]
    /// Extensions by the message that they are added to.
    let extensions: [String: [Proto.Field]]
    private let prepared = Mutex(PreparedTypes())

    /// - Parameter files: each a serialized google.protobuf.FileDescriptorProto.
    /// - Throws: `Failure` INTERNAL `BAD_DESCRIPTOR`, RESOURCE_EXHAUSTED `TOO_LARGE` beyond `limits`.
    public init(files serialized: [[UInt8]], limits: Limits = Limits()) throws {
        guard serialized.count <= limits.filesMax, serialized.reduce(0, { $0 + $1.count }) <= limits.bytesMax else {
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "The description of the server has more than \(limits.filesMax) files or \(limits.bytesMax) bytes.")
        }
        var reader = ProtoReader(namesMax: limits.namesMax)
        var table = SymbolTable()
        var files: [Proto.File] = []
        var names: Set<String> = []
        for bytes in serialized {
            let file = try reader.read(bytes)
            guard names.insert(file.name).inserted else {
                throw ProtoReader.bad("the file \(file.name) is given twice")
            }
            try table.add(file, index: files.count)
            files.append(file)
        }
        self.files = files
        self.limits = limits
        symbols = table.symbols
        extensions = Dictionary(grouping: files.flatMap(\.extensions), by: \.extendee)
    }

    deinit {
        prepared.withLock { $0.release() }
    }

    // MARK: Names

    /// What a full name such as `acp.v1.Ingest.GetJob` stands for.
    public func symbol(_ fullName: String) -> Symbol? { symbols[fullName]?.symbol }

    /// The file that declares it.
    public func file(declaring fullName: String) -> Proto.File? { symbols[fullName].map { files[$0.file] } }

    public func message(_ fullName: String) -> Proto.Message? {
        if case .message(let message)? = symbol(fullName) { message } else { nil }
    }

    public func enumeration(_ fullName: String) -> Proto.Enumeration? {
        if case .enumeration(let enumeration)? = symbol(fullName) { enumeration } else { nil }
    }

    /// The method with this full name as a client calls it.
    /// - Throws: `Failure` as `json` does when its messages cannot be used; NOT_FOUND for a name that is no method.
    public func method(_ fullName: String) throws -> MethodDescriptor {
        guard case .method(let method)? = symbol(fullName) else {
            throw Failure(.notFound, reason: "UNKNOWN_METHOD", "\(fullName) is not a method.")
        }
        _ = try schema(method.requestType)
        _ = try schema(method.responseType)
        // Rights are the server's to check; HTTP bindings are no part of a call over ACP/1.
        return MethodDescriptor(
            path: "/\(method.service)/\(method.name)", service: method.service, name: method.name,
            requestType: method.requestType, responseType: method.responseType,
            clientStreaming: method.clientStreaming, serverStreaming: method.serverStreaming, access: .denied,
            idempotent: OptionReader(pool: self).isIdempotent(method), uploadStartField: "", uploadDataField: "",
            httpRules: [])
    }

    // MARK: Messages

    /// A packed message as JSON, by the rules of `MessageJSON`.
    /// - Throws: `Failure` INVALID_ARGUMENT for bytes that are not the message; INTERNAL `BAD_DESCRIPTOR` for a type that cannot be used.
    public func json(
        _ bytes: ByteBuffer, type: String, options: MessageJSON.Options = MessageJSON.Options()
    ) throws -> [UInt8] {
        // Schemas point into memory of this object.
        try withExtendedLifetime(self) { try MessageJSON.encode(bytes, schema(type), options: options) }
    }

    /// The packed message that a JSON value says, by the rules of `MessageJSON`.
    /// - Throws: `Failure` as `MessageJSON.decode`; INTERNAL `BAD_DESCRIPTOR` for a type that cannot be used.
    public func message(
        _ json: some Sequence<UInt8>, type: String, limits: MessageJSON.Limits = MessageJSON.Limits()
    ) throws -> ByteBuffer {
        try withExtendedLifetime(self) {
            let schema = try schema(type)
            return try Array(json).withUnsafeBytes { try MessageJSON.decode($0, schema, limits: limits) }
        }
    }

    /// Valid as long as the pool is.
    func schema(_ type: String) throws -> MessageSchema {
        try prepared.withLock { prepared in
            if let known = prepared.schemas[type] { return known }
            if let refused = prepared.refused[type] { throw refused }
            var compiler = SchemaCompiler(pool: self, known: prepared.schemas)
            do {
                let made = try compiler.compile(type)
                prepared.add(made, compiler.memory)
            } catch let failure as Failure {
                prepared.refused[type] = failure
                throw failure
            }
            guard let schema = prepared.schemas[type] else { preconditionFailure("the type asked for is compiled") }
            return schema
        }
    }
}

/// Types that are ready for use, and the memory that their C descriptors are in.
private struct PreparedTypes: ~Copyable {
    private(set) var schemas: [String: MessageSchema] = [:]
    /// Types that cannot be used, and why: it is found out once.
    var refused: [String: Failure] = [:]
    private var memory: [DescriptorMemory] = []

    mutating func add(_ made: [String: MessageSchema], _ descriptors: DescriptorMemory) {
        schemas.merge(made) { known, _ in known }
        memory.append(descriptors)
    }

    /// Schemas of messages that contain themselves hold each other.
    mutating func release() {
        for schema in schemas.values { schema.complete([]) }
        schemas = [:]
        memory = []
    }
}

/// Full names of everything in the files; no name stands for two things.
private struct SymbolTable {
    private(set) var symbols: [String: (symbol: DescriptorPool.Symbol, file: Int)] = [:]
    private var file = 0

    mutating func add(_ file: Proto.File, index: Int) throws {
        self.file = index
        for message in file.messages { try add(message) }
        for enumeration in file.enums { try add(enumeration) }
        for service in file.services {
            try add(service.fullName, .service(service))
            for method in service.methods { try add(method.fullName, .method(method)) }
        }
        for field in file.extensions { try add(field.fullName, .extension(field)) }
    }

    private mutating func add(_ message: Proto.Message) throws {
        try add(message.fullName, .message(message))
        for field in message.fields { try add(field.fullName, .field(field, of: message)) }
        for nested in message.messages { try add(nested) }
        for enumeration in message.enums { try add(enumeration) }
    }

    /// Values stand beside their enum, not in it.
    private mutating func add(_ enumeration: Proto.Enumeration) throws {
        try add(enumeration.fullName, .enumeration(enumeration))
        let scope = enumeration.fullName.dropLast(enumeration.name.count)
        for value in enumeration.values { try add(scope + value.name, .value(value, of: enumeration)) }
    }

    private mutating func add(_ name: String, _ symbol: DescriptorPool.Symbol) throws {
        guard symbols.updateValue((symbol, file), forKey: name) == nil else {
            throw ProtoReader.bad("\(name) is declared twice")
        }
    }
}
