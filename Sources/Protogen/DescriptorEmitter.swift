/// The proto files' own descriptions as Swift literals, for reflection.
///
/// Base64 in string literals: they cost the compiler nothing, the program a third more than the bytes, and a change of one file changes
/// the lines of that file only.
struct DescriptorEmitter {
    /// All files, imports before importers.
    let schema: Schema

    func files() -> [OutputFile] {
        OutputFile.split(
            stem: Outputs.swift + "GeneratedDescriptors", header: ["// \(SourceWriter.banner)"],
            pieces: [table()] + schema.files.sorted { $0.name < $1.name }.map(literal))
    }

    private func table() -> SourceWriter {
        var writer = SourceWriter()
        writer.line(
            "/// google.protobuf.FileDescriptorProto of every proto file, serialized, in base64. Ours have their comments."
        )
        writer.block("enum GeneratedDescriptors") { writer in
            writer.list("static let files: [StaticString] = [", schema.files.map(Self.name).sorted(), "]")
        }
        return writer
    }

    private func literal(_ file: ProtoFile) -> SourceWriter {
        var writer = SourceWriter()
        writer.block("extension GeneratedDescriptors") { writer in
            writer.line("/// \(file.name)")
            writer.line("static let \(Self.name(file)): StaticString = \"\"\"")
            writer.indented { writer in
                var rest = Base64.encode(file.descriptor)[...]
                while !rest.isEmpty {
                    let line = rest.prefix(SourceWriter.columnsMax - 9)
                    rest = rest.dropFirst(line.count)
                    writer.line(line + (rest.isEmpty ? "" : "\\"))
                }
                writer.line("\"\"\"")
            }
        }
        return writer
    }

    /// `acp/v1/ingest.proto` → `acp_v1_ingest`.
    private static func name(_ file: ProtoFile) -> String {
        let stem = file.name.hasSuffix(".proto") ? String(file.name.dropLast(6)) : file.name
        return String(stem.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }
}

enum Base64 {
    /// The standard alphabet with padding (RFC 4648).
    static func encode(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * (3 - UInt32(group.count)))
            var digits: [UInt8] = []
            for _ in 0..<4 {
                digits.append(alphabet[Int(bits & 63)])
                bits >>= 6
            }
            text += digits.reversed().prefix(group.count + 1)
            text += Array(repeating: UInt8(ascii: "="), count: 3 - group.count)
        }
        return String(decoding: text, as: UTF8.self)
    }
}
