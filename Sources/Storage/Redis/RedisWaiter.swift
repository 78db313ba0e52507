internal import Core
internal import Logging

/// Follows Redis streams with a blocking XREAD on a connection and thread of its own.
///
/// It only reports that something happened: who is told reads the truth from PostgreSQL. So a lost entry costs time, never work.
public final class RedisWaiter: Sendable {
    public enum Event: Sendable, Hashable {
        /// Connected, for the first time or again: entries may have been missed, look for yourself.
        case connected
        /// Redis went away: nothing will be reported until `connected`.
        case disconnected
        /// A new entry of a stream, with its fields and values in order.
        case entry(stream: String, fields: [[UInt8]])
    }

    /// How long one XREAD blocks, in milliseconds; bounds how long `close` takes.
    private static let blockMs = 1000
    /// Entries in one answer.
    private static let entriesMax = 256

    private struct State: Sendable {
        var isClosed = false
    }

    private let state = Monitor(State())

    /// Starts following `streams` from now on. `report` is called on the waiter's thread and must not block.
    public init(
        _ address: RedisAddress, streams: [String], report: @escaping @Sendable (Event) -> Void
    ) throws {
        precondition(!streams.isEmpty)
        try BlockingThread.start { [state] in
            Self.follow(address, streams, state, report)
        }
    }

    deinit { close() }

    /// Stops reporting; the thread ends within a second.
    public func close() { state.update { $0.isClosed = true } }

    private static func follow(
        _ address: RedisAddress, _ streams: [String], _ state: Monitor<State>, _ report: (Event) -> Void
    ) {
        let log = Logger(label: "acp.redis")
        var backoff = ReconnectBackoff()
        while !state.withLock({ $0.isClosed }) {
            do {
                let connection = try RedisConnection(address, timeout: .seconds(2))
                try connection.setTimeout(.milliseconds(blockMs + 2000))
                var positions = try streams.map { try lastEntry(of: $0, on: connection) }
                _ = backoff.succeeded()
                report(.connected)
                while !state.withLock({ $0.isClosed }) {
                    try readOnce(streams, &positions, on: connection, report)
                }
            } catch {
                let pause = backoff.failed()
                if backoff.isFirst {
                    log.warning("redis streams cannot be followed", metadata: ["error": "\(error)"])
                    report(.disconnected)
                }
                // Sleeps, but wakes when closed.
                _ = state.wait(until: .now().advanced(by: pause)) { $0.isClosed ? true : nil }
            }
        }
    }

    /// Where to start: naming the last entry, not `$`, so that nothing between two reads is missed.
    private static func lastEntry(of stream: String, on connection: RedisConnection) throws -> [UInt8] {
        try connection.append(["XREVRANGE", RedisArgument(stream), "+", "-", "COUNT", "1"])
        guard let entries = try connection.reply().array else {
            throw Failure.redisUnavailable("XREVRANGE was refused")
        }
        guard let entry = entries.first?.array, case .bytes(let id)? = entry.first else { return Array("0-0".utf8) }
        return id
    }

    private static func readOnce(
        _ streams: [String], _ positions: inout [[UInt8]], on connection: RedisConnection,
        _ report: (Event) -> Void
    ) throws {
        var command: [RedisArgument] = [
            "XREAD", "COUNT", RedisArgument(entriesMax), "BLOCK", RedisArgument(blockMs), "STREAMS",
        ]
        command += streams.map { RedisArgument($0) }
        command += positions.map { RedisArgument($0) }
        try connection.append(command)
        let answer = try connection.reply()
        if case .error(let message) = answer { throw Failure.redisUnavailable(message) }
        for stream in answer.array ?? [] {
            guard let parts = stream.array, parts.count == 2, let name = parts[0].text, let entries = parts[1].array,
                let index = streams.firstIndex(of: name)
            else { throw Failure.redisUnavailable("XREAD answered in an unknown form") }
            for entry in entries {
                guard let parts = entry.array, parts.count == 2, case .bytes(let id) = parts[0] else { continue }
                positions[index] = id
                let fields = (parts[1].array ?? []).map { value in
                    if case .bytes(let bytes) = value { bytes } else { [UInt8]() }
                }
                report(.entry(stream: name, fields: fields))
            }
        }
    }
}
