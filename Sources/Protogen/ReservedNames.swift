/// Names that a generated top-level type must not have.
enum ReservedNames {
    static let all = modules.union(library).union(runtime)

    /// A type that is called as a module hides everything else in that module.
    private static let modules: Set<String> = [
        "Core", "RPC", "Storage", "Search", "Extract", "Ingest", "Agents", "Gateway", "Platform", "CLI", "Protogen",
        "CACPProtos", "CProtobufC",
    ]

    private static let library: Set<String> = [
        "Any", "AnyObject", "Array", "Bool", "Character", "Clock", "Collection", "Dictionary", "Double", "Duration",
        "Error", "Float", "Hashable", "Identifiable", "Int", "Int32", "Int64", "Iterator", "Mutex", "Never", "Optional",
        "Protocol", "Range", "Result", "Self", "Sendable", "Sequence", "Set", "String", "Substring", "Task", "Type",
        "UInt", "UInt8", "UInt32", "UInt64", "Void",
    ]

    /// Types of Core and of the hand-written part of RPC.
    private static let runtime: Set<String> = [
        "ByteBuffer", "ByteSpan", "CallContext", "CallOptions", "Catalogue", "Codec", "DecodeLimits",
        "DescriptorPool", "DescriptorSet", "Failure", "Limits", "MessageCatalogue", "Metadata",
        "MethodDescriptor", "MonotonicTime", "Principal", "Proto", "RPCClient", "RPCServer",
        "RequestReader", "RequestWriter", "ResponseReader", "ResponseWriter",
        "Role", "ServerContext", "ServiceRouter", "StatusCode", "TraceContext", "UUIDv7", "WallTime", "WireMessage",
        "WireReadable", "WireReader", "WireWritable", "WireWriter",
    ]
}
