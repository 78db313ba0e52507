import Core
import Foundation
import NIOCore
import RPC
import Synchronization

@testable import CLI

/// A server of somebody else on a loopback port: its messages are in no proto file of ours.
struct RpcTestServer {
    static let proto = """
        syntax = "proto3";
        package test.v1;
        // Calls of every kind.
        service Kinds {
          // The note comes back.
          rpc Echo(Note) returns (Note);
          rpc Count(Note) returns (stream Note);
          rpc Join(stream Note) returns (Note);
          rpc Chat(stream Note) returns (stream Note);
          rpc First(stream Note) returns (Note);
          rpc Fail(Note) returns (Note);
          rpc Hang(Note) returns (Note);
          rpc Lie(Note) returns (Note);
        }
        message Note { string text = 1; uint32 number = 2; repeated Note notes = 3; }
        """

    /// A message of ours that has the first two fields of a Note in the same places.
    typealias Note = ListDocumentsRequest

    let address: String

    /// What a command wrote and how it ended.
    struct Outcome: Sendable {
        var status: Int32
        var out: String
        var err: String
    }

    /// Runs `body` beside a server.
    /// - Parameter register: what it serves.
    static func with(
        _ register: (inout ServiceRouter, [[UInt8]]) throws -> Void = { try kinds(&$0, $1) },
        _ body: (RpcTestServer) async throws -> Void
    ) async throws {
        let runtime = RPCRuntime(threads: 1)
        var router = ServiceRouter()
        HealthServer { _ in HealthCheckResponse(status: .serving) }.register(in: &router)
        try register(&router, try compiled.get())
        let server = RPCServer(runtime: runtime, router: router)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(RpcTestServer(address: "acp://127.0.0.1:\(port)")))
        } catch { result = .failure(error) }
        await server.shutdown(grace: .zero)
        await runtime.shutdown()
        try result.get()
    }

    /// Runs `acp rpc` with these arguments against the server.
    /// - Parameter onOutput: sees every piece of output as it is written.
    func run(
        _ arguments: [String], onOutput: @escaping @Sendable (String) -> Void = { _ in }
    ) async -> Outcome {
        let out = Mutex(""), err = Mutex("")
        let status = await StandardOutput.$sink.withValue({ text in
            out.withLock { $0 += text }
            onOutput(text)
        }) {
            await Console.$sink.withValue({ text in err.withLock { $0 += text } }) {
                await CommandRunner.run(Root.self, ["rpc"] + arguments + ["--server", address])
            }
        }
        return Outcome(status: status, out: out.withLock { $0 }, err: err.withLock { $0 })
    }

    static func kinds(_ router: inout ServiceRouter, _ files: [[UInt8]]) throws {
        let pool = try DescriptorPool(files: files)
        func method(_ name: String) throws -> MethodDescriptor {
            // As a client sees it, but open to all.
            let method = try pool.method("test.v1.Kinds.\(name)")
            return MethodDescriptor(
                path: method.path, service: method.service, name: method.name, requestType: method.requestType,
                responseType: method.responseType, clientStreaming: method.clientStreaming,
                serverStreaming: method.serverStreaming, access: .open, idempotent: false, uploadStartField: "",
                uploadDataField: "", httpRules: [])
        }
        router.unary(try method("Echo")) { (note: RawMessage, context) in
            var metadata = Metadata()
            for pair in context.metadata.pairs { try metadata.add("seen-" + pair.key, bytes: pair.value) }
            context.sendInitialMetadata(metadata)
            context.setTrailingMetadata(metadata)
            return note
        }
        router.serverStreaming(try method("Count")) { (note: Note, replies: ResponseWriter<Note>, _) in
            for number in 0..<note.pageSize {
                try await replies.write(Note(collection: note.collection, pageSize: number))
            }
        }
        router.clientStreaming(try method("Join")) { (notes: RequestReader<Note>, _) -> Note in
            var joined = Note()
            for try await note in notes {
                joined.collection += note.collection
                joined.pageSize += 1
            }
            return joined
        }
        router.bidirectional(try method("Chat")) {
            (notes: RequestReader<RawMessage>, replies: ResponseWriter<RawMessage>, _) in
            for try await note in notes { try await replies.write(note) }
        }
        router.clientStreaming(try method("First")) { (notes: RequestReader<RawMessage>, _) -> RawMessage in
            try await notes.next() ?? RawMessage()
        }
        router.unary(try method("Fail")) { (note: Note, context) -> Note in
            var metadata = Metadata()
            try metadata.add("why-bin", bytes: [0, 255])
            context.setTrailingMetadata(metadata)
            throw Failure(StatusCode(rawValue: Int(note.pageSize)) ?? .unknown, reason: "ASKED_FOR", note.collection)
        }
        router.unary(try method("Hang")) { (_: Note, _) -> Note in
            try await Task.sleep(for: .seconds(60))
            return Note()
        }
        router.unary(try method("Lie")) { (_: RawMessage, _) in RawMessage(ByteBuffer(bytes: [0x0A, 0x05, 0x61])) }
        try ReflectionServer(methods: router.methods + ReflectionMethods.all, descriptors: files).register(in: &router)
    }

    // MARK: Descriptors

    struct ProtocFailed: Error { var message: String }

    /// The proto file above, by protoc.
    private static let compiled = Result { try compile() }

    private static func compile() throws -> [[UInt8]] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "acp-cli-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(proto.utf8).write(to: folder.appending(path: "kinds.proto"))
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "protoc", "-I", folder.path(), "--include_source_info",
            "--descriptor_set_out=\(folder.appending(path: "set.binpb").path())", "kinds.proto",
        ]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let message = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ProtocFailed(message: String(decoding: message, as: UTF8.self))
        }
        // A set of one file: field 1 and its length before the file.
        let set = [UInt8](try Data(contentsOf: folder.appending(path: "set.binpb")))
        return [Array(set.dropFirst(1).drop { $0 >= 0x80 }.dropFirst())]
    }
}
