import Foundation
import NIOCore
import RPC

/// Proto files compiled by protoc, as a server in any language would have them.
enum Compiled {
    struct Failed: Error, CustomStringConvertible { var description: String }

    /// Serialized descriptors of `text` and everything that it imports.
    static func files(_ text: String, name: String = "test/v1/test.proto") throws -> [[UInt8]] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "acp-reflection-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
        let output = folder.appending(path: "set.binpb")
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "protoc", "-I", folder.path(), "--include_imports", "--include_source_info",
            "--descriptor_set_out=\(output.path())", name,
        ]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let message = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failed(description: String(decoding: message, as: UTF8.self))
        }
        // A FileDescriptorSet is nothing but files in field 1.
        return WireTree.fields([UInt8](try Data(contentsOf: output))).map(\.bytes)
    }

    static func pool(_ text: String) throws -> DescriptorPool { try DescriptorPool(files: files(text)) }
}

extension DescriptorPool {
    /// JSON → bytes → JSON.
    func roundTrip(_ json: String, _ type: String) throws -> String {
        String(decoding: try self.json(message(json.utf8, type: type), type: type), as: UTF8.self)
    }

    func bytes(_ json: String, _ type: String) throws -> [UInt8] {
        Array(try message(json.utf8, type: type).readableBytesView)
    }

    func text(_ bytes: [UInt8], _ type: String, _ options: MessageJSON.Options = .init()) throws -> String {
        String(decoding: try json(ByteBuffer(bytes: bytes), type: type, options: options), as: UTF8.self)
    }
}
