/// How the Swift structs are read from the wire format and written to it.
struct CodecEmitter {
    let types: TypeNames

    func files(_ file: ProtoFile) -> [OutputFile] {
        OutputFile.split(
            stem: Outputs.swift + Names.fileStem(file) + ".codec",
            header: [
                "// \(SourceWriter.banner) From \(file.name).", "internal import CACPProtos", "public import NIOCore",
            ],
            pieces: file.messages.flatMap(\.withNested).filter { !$0.isMapEntry }.map { message($0) })
    }

    private func message(_ message: Message) -> SourceWriter {
        var writer = SourceWriter()
        let name = types.swiftName(message.fullName)
        writer.block("extension \(name): WireMessage, WireReadable, WireWritable") { writer in
            writer.line("public static var typeName: String { \"\(message.fullName)\" }")
            writer.line()
            writer.block(
                "public static func decode(_ bytes: UnsafeRawBufferPointer, limits: DecodeLimits) throws -> Self"
            ) { writer in
                writer.line("try Codec.read(bytes, \(Names.cDescriptor(message.fullName))(), limits)")
            }
            writer.line()
            writer.line("public func encode(into buffer: inout ByteBuffer) { Codec.write(self, into: &buffer) }")
            writer.line()
            writer.block("package mutating func read(from reader: inout WireReader)") { writer in
                writer.append(ReadEmitter(types: types).body(message.fields, oneofs: message.oneofs))
            }
            writer.line()
            writer.block("package func write(to writer: inout WireWriter)") { writer in
                for field in message.fields.sorted(by: { $0.number > $1.number }) {
                    writer.append(WriteEmitter(types: types).write(field, of: message))
                }
            }
        }
        return writer
    }
}
