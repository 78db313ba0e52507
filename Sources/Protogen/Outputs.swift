/// Everything that is generated from a schema, as files below one output root.
enum Outputs {
    static let swift = "Sources/RPC/Generated/"
    static let include = "Sources/C/CACPProtos/include/"

    static func files(_ schema: Schema) throws -> [OutputFile] {
        var schema = schema
        let types = TypeNames(schema)
        let all = schema
        // Imports come first in protoc's set; by name the output does not depend on who imports whom.
        schema.files = schema.files.filter(isGenerated).sorted { $0.name < $1.name }
        try Validation(schema: schema, types: types).check()

        var files: [OutputFile] = []
        for file in schema.files {
            files += MessageEmitter(types: types).files(file)
            files += CodecEmitter(types: types).files(file)
            files += ServiceEmitter(types: types).files(file)
        }
        files += SupportSource.files
        files += CatalogueEmitter(schema: schema, all: all, messages: schema.messages).files()
        files += CatalogueEmitter.umbrella(all)
        files += DescriptorEmitter(schema: all).files()
        files.append(OpenAPIEmitter(schema, types).file())
        return files
    }

    /// Our own files and Timestamp become Swift; files that only declare options for proto files do not.
    private static func isGenerated(_ file: ProtoFile) -> Bool {
        if file.name == "google/protobuf/timestamp.proto" { return true }
        return !file.package.hasPrefix("google.") && !file.declaresOptions
    }
}
