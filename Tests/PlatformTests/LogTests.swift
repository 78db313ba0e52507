import Core
import FoundationEssentials
import Logging
import Platform
import Testing

/// Writes through the real handler, writer thread and file, and reads the lines back.
private struct LogHarness {
    let directory: TemporaryDirectory
    let writer: LogWriter
    let logger: Logger

    init(fileBytesMax: Int = 64_000_000, filesMax: Int = 8, queueBytesMax: Int = 4 << 20, service: String = "ingest")
        throws
    {
        let directory = try TemporaryDirectory()
        let writer = try LogWriter(
            options: .init(
                directory: directory.path + "/logs", standardError: false, fileBytesMax: fileBytesMax,
                filesMax: filesMax, queueBytesMax: queueBytesMax))
        self.directory = directory
        self.writer = writer
        logger = Logger(label: service) { _ in JSONLogHandler(service: service, logLevel: .debug, writer: writer) }
    }

    func lines(_ name: String = "ingest") throws -> [String] {
        #expect(writer.flush(timeoutMs: 10_000))
        return try directory.read("logs/\(name).jsonl").split(separator: "\n").map(String.init)
    }

    func objects() throws -> [[String: JSONValue]] {
        try lines().map { try JSONDecoder().decode([String: JSONValue].self, from: Data($0.utf8)) }
    }
}

private enum JSONValue: Decodable, Equatable {
    case string(String), integer(Int), number(Double), flag(Bool), array([JSONValue]), object([String: JSONValue]), null

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .flag(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }
}

@Suite struct LogTests {
    @Test func theNineFieldsComeFirstAndInOrder() throws {
        let harness = try LogHarness()
        let trace = try #require(TraceContext(traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
        let user = try #require(UUIDv7("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"))
        var context = CallContext(trace: trace, requestID: "req-1", correlationID: "corr-1")
        context.principal = Principal(id: user, name: "ada", role: .analyst)
        context.credential = "acp_never"
        CallContext.$current.withValue(context) {
            harness.logger.warning("document refused", metadata: ["reason": "PDF_ENCRYPTED", "bytes": "\(12)"])
        }
        let line = try #require(try harness.lines().first)
        let expected =
            #""level":"WARNING","service":"ingest","request_id":"req-1","correlation_id":"corr-1","#
            + #""user_id":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f","trace_id":"0af7651916cd43dd8448eb211c80319c","#
            + #""span_id":"b7ad6b7169203331","message":"document refused","bytes":"12","reason":"PDF_ENCRYPTED"}"#
        #expect(line.hasSuffix(expected))
        #expect(line.wholeMatch(of: /\{"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",.*/) != nil)
        #expect(!line.contains("acp_never"))
    }

    @Test func outsideACallTheContextFieldsAreEmpty() throws {
        let harness = try LogHarness()
        harness.logger.info("started")
        let line = try #require(try harness.lines().first)
        #expect(
            line.hasSuffix(
                #""service":"ingest","request_id":"","correlation_id":"","user_id":"","trace_id":"","span_id":"","message":"started"}"#
            ))
    }

    @Test func levelsAreFour() throws {
        let harness = try LogHarness()
        var logger = harness.logger
        logger.logLevel = .trace
        for level in Logger.Level.allCases { logger.log(level: level, "x") }
        #expect(
            try harness.objects().map { $0["level"] }
                == ["DEBUG", "DEBUG", "INFO", "INFO", "WARNING", "ERROR", "ERROR"].map { .string($0) })
    }

    @Test func everyScalarSurvivesOnOneLine() throws {
        let harness = try LogHarness()
        var hostile = "quote\" back\\slash \u{0}\u{1}\u{1B}[31m\u{7F}\u{85}\u{2028}\u{2029}\u{202E} 🇩🇪 é \r\n line two"
        // Bytes that are no UTF-8 become replacement characters before they get here.
        hostile += String(decoding: [0xFF, 0xC0, 0xED, 0xA0, 0x80] as [UInt8], as: UTF8.self)
        harness.logger.info("\(hostile)", metadata: ["\(hostile)": "\(hostile)"])
        let line = try #require(try harness.lines().only)
        #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) })
        #expect(!line.unicodeScalars.contains("\u{2028}") && !line.unicodeScalars.contains("\u{202E}"))
        let object = try #require(try harness.objects().first)
        #expect(object["message"] == .string(hostile))
        #expect(object[hostile] == .string(hostile))
    }

    @Test func valuesKeepTheirTypes() throws {
        let harness = try LogHarness()
        harness.logger.info(
            "typed",
            metadata: [
                "a": .stringConvertible(42), "b": .stringConvertible(true), "c": .stringConvertible(0.5),
                "d": .stringConvertible(UInt64.max), "e": .array(["x", .stringConvertible(1)]),
                "f": .dictionary(["z": "1", "y": .dictionary(["deep": "v"])]), "g": .stringConvertible(Double.nan),
            ])
        let object = try #require(try harness.objects().first)
        #expect(object["a"] == .integer(42))
        #expect(object["b"] == .flag(true))
        #expect(object["c"] == .number(0.5))
        #expect(object["d"] == .string("18446744073709551615"))
        #expect(object["e"] == .array([.string("x"), .integer(1)]))
        #expect(object["f"] == .object(["z": .string("1"), "y": .object(["deep": .string("v")])]))
        #expect(object["g"] == .null)
    }

    @Test func secretsAreRedactedByNameAndByShape() throws {
        let harness = try LogHarness()
        let key = "acp_live_" + String(repeating: "aB3", count: 10) + "c4f2"
        var metadata: Logger.Metadata = [
            "nested": .dictionary(["client_secret": "hunter2"]), "credential": .dictionary(["any": "hunter2"]),
            "fencing_token": .stringConvertible(7), "text": "key=\(key);", "metric": "acp_requests_total",
            "list": .array(["\(key)"]),
        ]
        for name in [
            "authorization", "Authorization", "api_key", "X-API-Key", "password", "token", "secret", "credentials",
            "Set-Cookie",
        ] {
            metadata[name] = "hunter2"
        }
        harness.logger.info("used \(key) twice \(key)", metadata: metadata)
        let line = try #require(try harness.lines().first)
        #expect(!line.contains("hunter2") && !line.contains(key))
        let object = try #require(try harness.objects().first)
        #expect(object["fencing_token"] == .integer(7))
        #expect(object["text"] == .string("key=acp_***;"))
        #expect(object["metric"] == .string("acp_requests_total"))
        #expect(object["message"] == .string("used acp_*** twice acp_***"))
    }

    @Test func failuresExplainThemselvesAndStrangersOnlyNameTheirType() throws {
        struct Stranger: Error { var text = "document text" }
        let harness = try LogHarness()
        harness.logger.error("a", error: Failure(.unavailable, reason: "DEPENDENCY", "PostgreSQL is gone."))
        harness.logger.error("b", error: Stranger())
        let objects = try harness.objects()
        #expect(objects[0]["error_code"] == .string("UNAVAILABLE"))
        #expect(objects[0]["error_message"] == .string("PostgreSQL is gone."))
        #expect(try !harness.lines()[1].contains("document text"))
        #expect(objects[1]["error_type"] != nil)
    }

    @Test func longTextsAreCutAndNamesCannotForgeFixedFields() throws {
        let harness = try LogHarness()
        harness.logger.info("m", metadata: ["message": "forged", "long": "\(String(repeating: "é", count: 10_000))"])
        let object = try #require(try harness.objects().first)
        #expect(object["message"] == .string("m"))
        #expect(object["message_"] == .string("forged"))
        #expect(object["long"] == .string(String(repeating: "é", count: 4096) + "…"))
    }

    @Test func theHandlerIsAValue() throws {
        let harness = try LogHarness()
        var first = harness.logger
        first[metadataKey: "only"] = "first"
        var second = first
        second[metadataKey: "only"] = "second"
        second.logLevel = .error
        first.info("x")
        second.info("not written")
        let objects = try harness.objects()
        #expect(objects.count == 1)
        #expect(objects[0]["only"] == .string("first"))
    }

    @Test func aFullQueueDropsAndCounts() throws {
        // Too small for one record: every record is dropped, and none is written until one fits.
        let harness = try LogHarness(queueBytesMax: 700)
        let big = String(repeating: "x", count: 1000)
        for _ in 0..<25 { harness.logger.info("\(big)") }
        harness.logger.info("fits")
        let objects = try harness.objects()
        #expect(objects.count == 2)
        #expect(objects[0]["message"] == .string("log records dropped"))
        #expect(objects[0]["dropped"] == .integer(25))
        #expect(objects[1]["message"] == .string("fits"))
    }

    @Test func manyThreadsLoseAndMixNothing() async throws {
        let harness = try LogHarness(queueBytesMax: 64 << 20)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for index in 0..<500 {
                        harness.logger.info("n", metadata: ["id": .stringConvertible(task * 500 + index)])
                    }
                }
            }
        }
        let ids = try harness.objects().map { $0["id"] }
        #expect(ids.count == 4000)
        #expect((0..<4000).allSatisfy { ids.contains(.integer($0)) })
    }

    @Test func filesRotateBySizeAndOldOnesGo() throws {
        let harness = try LogHarness(fileBytesMax: 2000, filesMax: 3)
        for index in 0..<60 {
            harness.logger.info("record", metadata: ["index": .stringConvertible(index)])
            harness.writer.flush(timeoutMs: 10_000)
        }
        let names = TemporaryDirectory.entries(of: harness.directory.path + "/logs")
        #expect(names == ["ingest.1.jsonl", "ingest.2.jsonl", "ingest.3.jsonl", "ingest.jsonl"])
        for name in names { #expect(try harness.directory.read("logs/\(name)").utf8.count <= 2000) }
        #expect(try harness.lines().last?.contains("\"index\":59") == true)
    }

    @Test func twoWritersShareAFileAcrossRotation() throws {
        let first = try LogHarness(fileBytesMax: 4000, filesMax: 100)
        let second = try LogWriter(
            options: .init(
                directory: first.directory.path + "/logs", standardError: false, fileBytesMax: 4000, filesMax: 100))
        let other = Logger(label: "ingest") { _ in JSONLogHandler(service: "ingest", logLevel: .info, writer: second) }
        for index in 0..<100 {
            first.logger.info("one", metadata: ["index": .stringConvertible(index)])
            other.info("two", metadata: ["index": .stringConvertible(index)])
            first.writer.flush(timeoutMs: 10_000)
            second.flush(timeoutMs: 10_000)
        }
        let lines = try TemporaryDirectory.entries(of: first.directory.path + "/logs")
            .flatMap { try first.directory.read("logs/\($0)").split(separator: "\n") }
        #expect(lines.count == 200)
        #expect(lines.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") })
        second.close()
    }

    @Test func anUnwritableDirectoryLosesNothingElse() throws {
        let directory = try TemporaryDirectory()
        let blocker = try directory.write("", to: "file")
        let writer = try LogWriter(options: .init(directory: blocker + "/logs", standardError: false))
        let logger = Logger(label: "x") { _ in JSONLogHandler(service: "ingest", logLevel: .info, writer: writer) }
        logger.info("goes nowhere")
        #expect(writer.close(timeoutMs: 10_000))
        logger.info("after closing")
        #expect(writer.flush(timeoutMs: 10_000))
    }
}

extension Array {
    fileprivate var only: Element? { count == 1 ? self[0] : nil }
}
