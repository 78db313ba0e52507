/// Tables over everything that was generated, and what protobuf-c's descriptors need on the C side.
struct CatalogueEmitter {
    let schema: Schema
    /// With the files that no Swift is generated for.
    let all: Schema
    /// Messages that exist in Swift, and their map entries.
    let messages: [Message]

    func files() -> [OutputFile] { [catalogue(), descriptors()] }

    private func catalogue() -> OutputFile {
        var writer = SourceWriter()
        writer.line("// \(SourceWriter.banner)")
        writer.line("internal import CACPProtos")
        writer.line("internal import CProtobufC")
        writer.line()
        if !schema.services.isEmpty {
            writer.line("/// Every method of every service.")
            writer.block("public enum Catalogue") { writer in
                let services = schema.services
                    .map { "\(ServiceEmitter.methodsType($0)).all" }
                writer.list("public static let methods: [MethodDescriptor] = [", services, "].flatMap { $0 }")
            }
            writer.line()
        }
        writer.line(
            "/// protobuf-c's descriptors by message name, for code that handles messages without knowing their type.")
        writer.block("enum MessageCatalogue") { writer in
            writer.line(
                "/// The descriptor of a message such as `acp.v1.SearchRequest`; nil for a name that no proto file has."
            )
            writer.block(
                "static func descriptor(_ typeName: String) -> UnsafePointer<ProtobufCMessageDescriptor>?"
            ) { $0.line("descriptors[typeName]") }
            writer.line()
            writer.line("/// Messages that stand for one pair of a map field: protobuf-c's descriptors do not tell.")
            writer.list(
                "static let mapEntryTypes: Set<String> = [",
                messages.filter(\.isMapEntry).map { "\"\($0.fullName)\"" }, "]")
            writer.line()
            writer.line("// Unsafe only to the compiler: they point to constants of the program.")
            writer.line(
                "private nonisolated(unsafe) static let descriptors: [String: UnsafePointer<ProtobufCMessageDescriptor>] = ["
            )
            writer.indented { writer in
                for message in messages {
                    writer.line("\"\(message.fullName)\": \(Names.cDescriptor(message.fullName))(),")
                }
            }
            writer.line("]")
        }
        return OutputFile(path: Outputs.swift + "GeneratedCatalogue.swift", text: writer.text)
    }

    private func descriptors() -> OutputFile {
        var writer = SourceWriter()
        writer.line("// \(SourceWriter.banner)")
        writer.line("// Swift may copy a C constant that it reads; its address is only reliable when C takes it.")
        writer.line("#pragma once")
        writer.line()
        // Reflection reads how files describe themselves from C structs.
        let messages = messages + all.messages.filter { $0.fullName == "google.protobuf.FileDescriptorProto" }
        let files = all.files.filter { file in
            file.messages.flatMap(\.withNested).contains { message in
                messages.contains { $0.fullName == message.fullName }
            }
        }
        for file in files.sorted(by: { $0.name < $1.name }) { writer.line("#include \"\(cHeader(file))\"") }
        for message in messages {
            writer.line()
            writer.line(
                "static inline const ProtobufCMessageDescriptor *_Nonnull \(Names.cDescriptor(message.fullName))(void) {"
            )
            writer.line("    return &\(Names.cLower(message.fullName))__descriptor;")
            writer.line("}")
        }
        return OutputFile(path: Outputs.include + "acp_descriptors.h", text: writer.text)
    }

    private func cHeader(_ file: ProtoFile) -> String {
        (file.name.hasSuffix(".proto") ? String(file.name.dropLast(6)) : file.name) + ".pb-c.h"
    }

    /// The umbrella header and its module map: SwiftPM makes none for a folder with sub-folders.
    static func umbrella(_ schema: Schema) -> [OutputFile] {
        var writer = SourceWriter()
        writer.line("// \(SourceWriter.banner)")
        writer.line("#pragma once")
        writer.line()
        for file in schema.files.sorted(by: { $0.name < $1.name }) {
            let stem = file.name.hasSuffix(".proto") ? String(file.name.dropLast(6)) : file.name
            writer.line("#include \"\(stem).pb-c.h\"")
        }
        writer.line()
        writer.line("#include \"acp_descriptors.h\"")
        writer.line("#include \"acp_wire.h\"")
        var map = SourceWriter()
        map.line("// \(SourceWriter.banner)")
        map.block("module CACPProtos") { map in
            map.line("header \"CACPProtos.h\"")
            map.line("export *")
        }
        return [
            OutputFile(path: Outputs.include + "CACPProtos.h", text: writer.text),
            OutputFile(path: Outputs.include + "module.modulemap", text: map.text),
        ]
    }
}
