import Core
import NIOCore
import Testing

@testable import RPC

/// Our own messages, handled by what their proto files say at run time, come out as by the code that was generated for them.
@Suite struct OwnMessagesTests {
    private static let pool = DescriptorSet.embedded.pool

    /// Every message that Swift was generated for.
    private static var names: [String] {
        func all(_ messages: [Proto.Message]) -> [Proto.Message] { messages + messages.flatMap { all($0.messages) } }
        return pool.files.flatMap { all($0.messages) }.map(\.fullName).filter { MessageSchema.named($0) != nil }
    }

    @Test func everyMessageIsDescribed() {
        #expect(Self.names.count > 70)
        #expect(Self.names.contains("acp.v1.Hit.MetadataEntry"))
        #expect(Self.names.contains("acp.wire.v1.Hello"))
        for method in Catalogue.methods {
            guard case .method(let found)? = Self.pool.symbol("\(method.service).\(method.name)") else {
                Issue.record("\(method.path) is not described")
                continue
            }
            #expect(found.requestType == method.requestType && found.responseType == method.responseType)
            #expect(
                found.clientStreaming == method.clientStreaming && found.serverStreaming == method.serverStreaming)
        }
    }

    @Test func methodsAreAsGeneratedButForWhatOnlyAServerNeeds() throws {
        for method in Catalogue.methods {
            let made = try Self.pool.method("\(method.service).\(method.name)")
            #expect(made.path == method.path)
            #expect(made.idempotent == method.idempotent, "\(method.path)")
        }
        #expect(throws: Failure.self) { try Self.pool.method("acp.v1.Job") }
    }

    @Test(arguments: 1...UInt64(12)) func bytesAndJSONAreThoseOfTheGeneratedCode(_ seed: UInt64) throws {
        var random = RandomJSON(generator: SeededGenerator(state: seed))
        // Random fields of a time are none that JSON can say; times inside of messages are tried.
        for name in Self.names where name != "google.protobuf.Timestamp" {
            let ours = try #require(MessageSchema.named(name))
            let json = random.object(ours)
            let comment = Comment("seed \(seed), \(name): \(json)")
            let expected = Array(try MessageJSON.decode(json.utf8, type: name).readableBytesView)
            let made = try Self.pool.bytes(json, name)
            #expect(made == expected, comment)
            for defaults in [false, true] {
                let options = MessageJSON.Options(printsDefaults: defaults)
                let text = String(
                    decoding: try MessageJSON.encode(ByteBuffer(bytes: expected), type: name, options: options),
                    as: UTF8.self)
                #expect(try Self.pool.text(made, name, options) == text, comment)
            }
        }
    }

    @Test func refusalsNameTheSameField() throws {
        for json in [#"{"queri":"x"}"#, #"{"limit":-1}"#, #"{"filter":{"a":"1","a":"2"}}"#, #"{"query":1}"#, "[]", "{"]
        {
            let ours = #expect(throws: Failure.self) {
                try MessageJSON.decode(json.utf8, type: "acp.v1.SearchRequest")
            }
            let theirs = #expect(throws: Failure.self) {
                try Self.pool.message(json.utf8, type: "acp.v1.SearchRequest")
            }
            #expect(ours == theirs)
        }
    }

    @Test func importsComeFirst() {
        var seen: Set<String> = []
        for file in Self.pool.files {
            #expect(seen.isSuperset(of: file.imports), "\(file.name)")
            seen.insert(file.name)
        }
        #expect(
            DescriptorSet.embedded.serialized.reduce(0) { $0 + $1.count } < 64 << 10, "the program carries too much")
    }
}
