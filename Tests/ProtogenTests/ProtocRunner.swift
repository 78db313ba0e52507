import Foundation
import Testing

@testable import Protogen

/// The fixtures beside this file, and protoc over them.
enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
    static let repository = folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    struct ProtocFailed: Error, CustomStringConvertible {
        var description: String
    }

    /// The schema of the fixture file.
    static func schema() throws -> Schema { try schema(files: ["acp/fixture/v1/fixture.proto"], in: folder) }

    /// The schema of a file with this text after syntax, package and imports. Its first line is line 5.
    static func schema(of text: String, head: String = standardHead) throws -> Schema {
        let temporary = FileManager.default.temporaryDirectory.appending(path: "protogen-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: temporary.appending(path: "acp/v1"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: temporary) }
        try Data((head + text).utf8).write(to: temporary.appending(path: "acp/v1/bad.proto"))
        return try schema(files: ["acp/v1/bad.proto"], in: temporary)
    }

    static let standardHead = """
        syntax = "proto3";
        package acp.v1;
        import "acp/v1/options.proto";
        import "google/api/annotations.proto";

        """

    private static func schema(files: [String], in root: URL) throws -> Schema {
        let output = FileManager.default.temporaryDirectory.appending(path: "protogen-\(UUID().uuidString).binpb")
        defer { try? FileManager.default.removeItem(at: output) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["protoc", "-I", root.path(), "-I", folder.path(), "-I", repository.appending(path: "Protos").path()]
            + ["--include_imports", "--include_source_info", "--descriptor_set_out=\(output.path())"] + files
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ProtocFailed(description: String(decoding: text, as: UTF8.self))
        }
        return try SchemaReader.read(FileSystem.read(output.path()))
    }
}
