import Foundation
import Synchronization
import TestSupport

/// A PostgreSQL and a Redis that run whether `acp` does or not, as `--database-url` and `--redis-url` take them.
struct Elsewhere {
    /// Tests that share a Redis have a database each; `TestRedis` has as many.
    private static let taken = Atomic<Int>(0)

    let databaseURL: String
    let redisURL: String

    var settings: [String: String] { ["ACP_DATABASE_URL": databaseURL, "ACP_REDIS_URL": redisURL] }

    /// An empty database, and a Redis of nobody else's, on servers that stay up for the whole test run.
    static func shared() async throws -> Elsewhere {
        let number = taken.add(1, ordering: .relaxed).newValue
        precondition(number < 256, "more tests than Redis has databases")
        return Elsewhere(
            databaseURL: try await TestPostgres.shared().emptyURL(),
            redisURL: try await TestRedis.shared().url + "?db=\(number)")
    }
}

/// Runs `body` with a system whose processes are all told, by their environment, where PostgreSQL and Redis are.
func withServices(
    settings: [String: String] = [:], _ body: (LiveSystem) async throws -> Void
) async throws {
    let elsewhere = try await Elsewhere.shared()
    try await withSystem(settings: elsewhere.settings.merging(settings) { $1 }, body)
}

extension LiveSystem {
    /// All four services, each a process of its own.
    func serveAll() async throws {
        // The key that commands use from now on is made by the one that has the keys' service.
        try await serve("ingest")
        try await serve("worker", "agents", "gateway")
    }

    /// Asks the readiness of a port until it has this HTTP status.
    func readiness(_ status: Int, port: Int, seconds: Double = 20) async throws -> String {
        var last = ""
        let isSo = try await eventually(seconds: seconds) {
            let answer = try await curl("/readyz", port: port)
            last = answer.body
            return answer.status == status
        }
        guard isSo else { throw Problem("/readyz of port \(port) did not become \(status): \(last)") }
        return last
    }

    /// The records in the log files of the data directory, with the names of their fields in order.
    func logged(_ service: String) -> [(fields: [String], record: [String: Any])] {
        let text = FileManager.default.contents(atPath: "\(data)/logs/\(service).jsonl") ?? Data()
        return String(decoding: text, as: UTF8.self).split(separator: "\n").compactMap { line in
            guard let record = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
                return nil
            }
            // JSONSerialization forgets the order: names are what stands before a colon.
            let names = line.split(separator: "\"", omittingEmptySubsequences: false).enumerated().filter { index, _ in
                index % 4 == 1
            }.prefix(9)
            return (names.map { String($0.element) }, record)
        }
    }
}
