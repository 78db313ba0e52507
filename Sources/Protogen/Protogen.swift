internal import Glibc

/// `Protogen DESCRIPTOR_SET OUTPUT_ROOT`: writes the generated files of a `protoc --descriptor_set_out --include_imports
/// --include_source_info` below OUTPUT_ROOT. Run by dev/generate-protos.
@main
enum Protogen {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            complain("usage: Protogen DESCRIPTOR_SET OUTPUT_ROOT\n")
            exit(2)
        }
        do {
            let schema = try SchemaReader.read(FileSystem.read(arguments[1]))
            for file in try Outputs.files(schema) {
                try FileSystem.write(file.text, to: arguments[2] + "/" + file.path)
            }
        } catch {
            complain("\(error)")
            exit(1)
        }
    }

    private static func complain(_ message: String) {
        var rest = Array(message.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}
