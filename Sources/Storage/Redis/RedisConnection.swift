internal import CHiredis
internal import Core
internal import Glibc

/// A blocking connection to Redis, for one thread. hiredis 0.14 speaks RESP2 without TLS.
final class RedisConnection {
    /// Nesting of arrays in a reply; ours have three levels.
    private static let replyDepthMax = 8

    private let context: UnsafeMutablePointer<redisContext>

    /// Connects and selects the database; both within `timeout`.
    init(_ address: RedisAddress, timeout: Duration) throws {
        Self.ignoreBrokenPipes()
        let time = timeval(timeout)
        let context =
            switch address {
            case .tcp(let host, let port, _): redisConnectWithTimeout(host, Int32(port), time)
            case .unix(let path, _): redisConnectUnixWithTimeout(path, time)
            }
        guard let context else { throw Failure.redisUnavailable("out of memory") }
        self.context = context
        try check()
        guard redisSetTimeout(context, time) == REDIS_OK else { throw unavailable() }
        if case .tcp = address { redisEnableKeepAlive(context) }
        if address.database != 0 {
            try append(["SELECT", RedisArgument(address.database)])
            if case .error(let message) = try reply() { throw Failure.redisUnavailable(message) }
        }
    }

    deinit { redisFree(context) }

    /// How long `reply` waits, from now on.
    func setTimeout(_ timeout: Duration) throws {
        guard redisSetTimeout(context, timeval(timeout)) == REDIS_OK else { throw unavailable() }
    }

    /// Adds a command to what the next `reply` sends.
    func append(_ arguments: [RedisArgument]) throws {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(arguments.reduce(0) { $0 + $1.bytes.count })
        for argument in arguments { bytes.append(contentsOf: argument.bytes) }
        let lengths = arguments.map(\.bytes.count)
        let status = bytes.withUnsafeBytes { buffer in
            // hiredis copies; an address is needed even where every argument is empty.
            let base = buffer.baseAddress.map { UnsafePointer($0.assumingMemoryBound(to: CChar.self)) }
            var offset = 0
            var pointers: [UnsafePointer<CChar>?] = []
            for length in lengths {
                pointers.append(base?.advanced(by: offset))
                offset += length
            }
            return redisAppendCommandArgv(context, Int32(pointers.count), &pointers, lengths)
        }
        guard status == REDIS_OK else { throw unavailable() }
    }

    /// Sends what was appended, if anything, and blocks for the next answer.
    func reply() throws -> RedisValue {
        var raw: UnsafeMutableRawPointer?
        guard redisGetReply(context, &raw) == REDIS_OK, let raw else { throw unavailable() }
        defer { freeReplyObject(raw) }
        return try Self.value(raw.assumingMemoryBound(to: redisReply.self), depth: 0)
    }

    /// True when the server closed the connection, or says something nobody asked for; only between commands.
    var isStale: Bool {
        var poll = pollfd(fd: context.pointee.fd, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) != 0
    }

    private func check() throws {
        if context.pointee.err != 0 { throw unavailable() }
    }

    private func unavailable() -> Failure {
        // After a timeout hiredis reports EAGAIN, whose text says nothing.
        if context.pointee.err == REDIS_ERR_IO, errno == EAGAIN {
            return .redisUnavailable("it did not answer in time")
        }
        let message = withUnsafeBytes(of: context.pointee.errstr) { buffer in
            String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
        }
        return .redisUnavailable(message.isEmpty ? "the connection was lost" : message)
    }

    private static func value(_ reply: UnsafeMutablePointer<redisReply>, depth: Int) throws -> RedisValue {
        guard depth < replyDepthMax else { throw Failure.redisUnavailable("an answer was nested too deeply") }
        switch reply.pointee.type {
        case REDIS_REPLY_INTEGER: return .integer(reply.pointee.integer)
        case REDIS_REPLY_STRING, REDIS_REPLY_STATUS:
            return .bytes([UInt8](UnsafeRawBufferPointer(start: reply.pointee.str, count: Int(reply.pointee.len))))
        case REDIS_REPLY_ERROR:
            let buffer = UnsafeRawBufferPointer(start: reply.pointee.str, count: Int(reply.pointee.len))
            return .error(String(decoding: buffer, as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            var values: [RedisValue] = []
            for index in 0..<reply.pointee.elements {
                guard let element = reply.pointee.element[index] else { continue }
                values.append(try value(element, depth: depth + 1))
            }
            return .array(values)
        default: return .null
        }
    }

    /// hiredis writes without MSG_NOSIGNAL: a server that goes away must not end this process. Done once per process.
    private static func ignoreBrokenPipes() { _ = brokenPipesIgnored }
}

private let brokenPipesIgnored: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

extension timeval {
    fileprivate init(_ duration: Duration) {
        let micros = max(1000, duration.wholeNanoseconds / 1000)
        self.init(tv_sec: Int(micros / 1_000_000), tv_usec: Int(micros % 1_000_000))
    }
}

extension Failure {
    /// Everything that depends on Redis must work without it; this says that it does without.
    static func redisUnavailable(_ detail: String) -> Failure {
        Failure(
            .unavailable, reason: "REDIS_UNAVAILABLE", "Redis cannot be used: \(detail).",
            remedy: "Check that Redis runs and that the Redis URL is right; the service reconnects by itself.",
            retryAfterMs: 1000)
    }
}
