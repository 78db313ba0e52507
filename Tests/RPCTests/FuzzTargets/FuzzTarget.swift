import Core
import NIOCore

@testable import RPC

/// One thing that is fuzzed: what is done with an input, and inputs to begin with.
///
/// The same files are part of the fuzzer and of RPCTests, where every committed input is run again.
struct FuzzTarget: Sendable {
    let name: String
    /// Longest input that is worth trying.
    let inputBytesMax: Int
    /// Runs one input. Throws `Finding` for what must not be.
    let run: @Sendable ([UInt8]) throws -> Void
    /// Valid inputs, by name.
    let seeds: @Sendable () throws -> [(name: String, bytes: [UInt8])]

    struct Finding: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static let all: [FuzzTarget] = [
        server, client, hello, requestMeta, statusMeta, zstd, message, json, binding,
    ]
}

/// - Throws: a finding when `isRight` is not.
func expect(_ isRight: Bool, _ problem: @autoclosure () -> String) throws {
    if !isRight { throw FuzzTarget.Finding(problem()) }
}

/// Reads an input from its front; what is not there reads as zero.
struct FuzzInput {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position >= bytes.count }

    mutating func byte() -> UInt8 {
        guard position < bytes.count else { return 0 }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func take(_ count: Int) -> [UInt8] {
        let end = min(bytes.count, position + count)
        defer { position = end }
        return Array(bytes[position..<end])
    }

    mutating func rest() -> [UInt8] { take(bytes.count) }
}
