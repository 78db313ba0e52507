import Core
import TestSupport
import Testing

@testable import Storage

@Suite struct RedisTests {
    @Test func commandsAnswerInEveryKind() async throws {
        let client = try await client()
        let key = RedisArgument("test-\(UUIDv7())")
        let bytes = (0...255).map { UInt8($0) }
        let set = try await client.command(["SET", key, RedisArgument(bytes)])
        #expect(set.text == "OK")
        let get = try await client.command(["GET", key])
        #expect(get == .bytes(bytes))
        let length = try await client.command(["STRLEN", key])
        #expect(length.integer == 256)
        let many = try await client.command(["MGET", key, "test-missing", ""])
        #expect(many == .array([.bytes(bytes), .null, .null]))
        let refused = await failure { _ = try await client.command(["LPUSH", key, "x"]) }
        #expect(refused?.reason == "REDIS_COMMAND")
    }

    @Test func answersGoToTheirCallersWhenManyCallAtOnce() async throws {
        let client = try await client()
        let wrong = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<2000 {
                group.addTask { try await client.command(["ECHO", RedisArgument(number)]).text != "\(number)" }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(wrong == 0)
    }

    @Test func aServerThatIsNotThereFailsFastAndSaysSo() async throws {
        let client = try RedisClient(
            RedisClient.Configuration(address: .unix(path: "/nonexistent/redis.sock", database: 0)))
        for _ in 0..<3 {
            let failed = await failure { _ = try await client.command(["PING"]) }
            #expect(failed?.code == .unavailable)
            #expect(failed?.reason == "REDIS_UNAVAILABLE")
        }
    }

    @Test func aServerThatStopsAnswersUnavailableUntilItIsBack() async throws {
        let server = try await TestRedis.start()
        let client = try RedisClient(RedisClient.Configuration(address: server.address))
        _ = try await client.command(["PING"])
        try await server.stop()
        let failed = await failure { _ = try await client.command(["PING"]) }
        #expect(failed?.reason == "REDIS_UNAVAILABLE")
    }

    @Test func aConnectionThatTheServerClosedIsReplacedUnnoticed() async throws {
        let server = try await TestRedis.start()
        let client = try RedisClient(RedisClient.Configuration(address: server.address))
        let other = try RedisClient(RedisClient.Configuration(address: server.address))
        let id = try await client.command(["CLIENT", "ID"]).integer ?? 0
        _ = try await other.command(["CLIENT", "KILL", "ID", RedisArgument(id)])
        let next = try await client.command(["CLIENT", "ID"]).integer ?? 0
        #expect(next > id)
        try await server.stop()
    }

    @Test func aClosedClientRefuses() async throws {
        let client = try await client()
        client.close()
        let failed = await failure { _ = try await client.command(["PING"]) }
        #expect(failed?.code == .unavailable)
    }

    @Test func urlsNameHostPortPathAndDatabase() throws {
        #expect(try RedisAddress(url: "redis://localhost") == .tcp(host: "localhost", port: 6379, database: 0))
        #expect(try RedisAddress(url: "redis://10.0.0.1:6380/2") == .tcp(host: "10.0.0.1", port: 6380, database: 2))
        #expect(try RedisAddress(url: "redis://[::1]:6380/") == .tcp(host: "::1", port: 6380, database: 0))
        #expect(try RedisAddress(url: "unix:///run/acp/redis.sock") == .unix(path: "/run/acp/redis.sock", database: 0))
        #expect(try RedisAddress(url: "unix:///r.sock?db=3") == .unix(path: "/r.sock", database: 3))
    }

    @Test(arguments: [
        "", "localhost:6379", "redis://", "redis://h:0", "redis://h:x", "redis://h/x", "redis://u:p@h", "unix://r.sock",
        "unix:///r?x=1", "unix:///" + String(repeating: "a", count: 107),
    ]) func otherURLsAreRefused(url: String) {
        #expect { try RedisAddress(url: url) } throws: { ($0 as? Failure)?.code == .invalidArgument }
    }

    private func client() async throws -> RedisClient {
        try RedisClient(RedisClient.Configuration(address: try await TestRedis.shared().address))
    }
}
