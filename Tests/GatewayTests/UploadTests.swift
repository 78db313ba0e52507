import Core
import NIOCore
import RPC
import Testing

@testable import Gateway

@Suite struct Uploads {
    private static func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 / 251) }
    }

    private static func sum(_ bytes: [UInt8]) -> String { String(bytes.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) }) }

    private func post(
        _ system: TestSystem, _ uri: String, type: String?, _ body: [UInt8], key: String = "admin-key"
    ) async throws -> RawConnection.Answer {
        let connection = try await system.connect()
        let head = TestSystem.request("POST", uri, key: key, body: [], type: type)
            .replacing("Content-Length: 0", with: "Content-Length: \(body.count)")
        // The answer may come before everything is sent.
        async let sent: Void = connection.send(Array(head.utf8) + body)
        let answer = try await connection.answer()
        try? await sent
        await connection.close()
        return answer
    }

    @Test(arguments: [0, 1, 65_535, 65_536, 65_537, 3_000_000])
    func rawBodiesArriveWhole(_ count: Int) async throws {
        try await TestSystem.run { system in
            let body = Self.bytes(count)
            let answer = try await post(
                system, "/v1/documents:upload?origin=a%2Fb.md&collection=c&metadata[k]=v&title=T",
                type: "text/markdown; charset=utf-8", body)
            #expect(answer.status == 200)
            let size = count == 0 ? "" : #","sizeBytes":"\#(count)""#
            #expect(
                answer.text
                    == #"{"document":{"id":"\#(Self.sum(body))","collection":"c","origin":"a/b.md","title":"T","mediaType":"text/markdown","metadata":{"k":"v"}\#(size)}}"#
            )
            let start = try #require(system.log.uploads.first)
            #expect(start.sizeBytes == UInt64(count))
        }
    }

    @Test func meaninglessTypesAreNoHintAndParametersWin() async throws {
        try await TestSystem.run { system in
            for type in ["application/octet-stream", "application/x-www-form-urlencoded"] {
                let answer = try await post(system, "/v1/documents:upload?origin=o", type: type, [1])
                #expect(answer.status == 200)
                #expect(system.log.uploads.last?.mediaType == "")
            }
            #expect(
                try await post(
                    system, "/v1/documents:upload?origin=o&mediaType=text/html&size_bytes=0", type: "text/plain", [1]
                ).status == 200)
            #expect(system.log.uploads.last?.mediaType == "text/html")
            #expect(system.log.uploads.last?.sizeBytes == 0)
            #expect(try await post(system, "/v1/documents:upload?nope=1", type: "text/plain", [1]).status == 400)
        }
    }

    @Test func chunkedBodiesHaveNoSizeAndTinyChunksAreJoined() async throws {
        try await TestSystem.run { system in
            let connection = try await system.connect()
            let head =
                "POST /v1/documents:upload?origin=o HTTP/1.1\r\nHost: h\r\nX-API-Key: admin-key\r\nTransfer-Encoding: chunked\r\n\r\n"
            try await connection.send(head + (0..<5000).map { _ in "1\r\na\r\n" }.joined() + "0\r\n\r\n")
            let answer = try await connection.answer()
            #expect(answer.text.contains(#""sizeBytes":"5000""#))
            #expect(system.log.uploads.first?.sizeBytes == 0)
            await connection.close()
        }
    }

    @Test func refusalsComeBeforeTheBodyHasEnded() async throws {
        try await TestSystem.run(.with { $0.uploadBytesMax = 1_000_000 }) { system in
            let body = Self.bytes(900_000)
            let refused = try await post(system, "/v1/documents:upload?origin=refused", type: nil, body)
            #expect(refused.status == 400)
            #expect(refused.text.contains("WRONG_TYPE"))
            expectHeaders(refused, "refused upload")
            #expect(
                try await post(system, "/v1/documents:upload?origin=o", type: nil, body, key: "viewer-key").status
                    == 403)
            #expect(
                try await post(system, "/v1/documents:upload?origin=o", type: nil, Self.bytes(1_000_001)).status == 413)
            #expect(
                try await post(system, "/v1/documents:upload?origin=o", type: nil, Self.bytes(1_000_000)).status == 200)
            let connection = try await system.connect()
            try await connection.send(
                "POST /v1/documents:upload?origin=o HTTP/1.1\r\nHost: h\r\nX-API-Key: admin-key\r\nTransfer-Encoding: chunked\r\n\r\nF4241\r\n"
            )
            try await connection.send(Self.bytes(1_000_001))
            #expect(try await connection.answer().status == 413)
            await connection.close()
        }
    }

    @Test func aTruncatedUploadIsCancelled() async throws {
        try await TestSystem.run { system in
            for type in ["text/plain", "multipart/form-data; boundary=b"] {
                let before = system.log.cancelled
                let calls = system.log.calls.count
                let connection = try await system.connect()
                try await connection.send(
                    "POST /v1/documents:upload?origin=o HTTP/1.1\r\nHost: h\r\nX-API-Key: admin-key\r\nContent-Type: \(type)\r\nContent-Length: 1000\r\n\r\n"
                        + "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nabc")
                await system.log.until { $0.calls.count == calls + 1 }
                await connection.close()
                await system.log.until { $0.cancelled == before + 1 }
            }
        }
    }

    private static func form(_ parts: [(String, [UInt8])]) -> [UInt8] {
        var body: [UInt8] = []
        for (head, content) in parts { body += Array("--b\r\n\(head)\r\n\r\n".utf8) + content + Array("\r\n".utf8) }
        return body + Array("--b--\r\n".utf8)
    }

    @Test func oneFileInAForm() async throws {
        try await TestSystem.run { system in
            let file = Self.bytes(200_000) + Array("\r\n--b".utf8.dropLast()) + Array("\r\n--".utf8)
            let body = Self.form([
                ("Content-Disposition: form-data; name=\"collection\"", Array("c".utf8)),
                (
                    "Content-Disposition: form-data; name=metadata\r\nContent-Type: application/json",
                    Array(#"{"k":"v"}"#.utf8)
                ),
                (
                    "content-disposition: form-data; name=\"file\"; filename=\"a \\\"b%22.md\"\r\nContent-Type: text/markdown",
                    file
                ),
            ])
            let answer = try await post(
                system, "/v1/documents:upload?title=T", type: "multipart/form-data; boundary=\"b\"", body)
            #expect(
                answer.text
                    == #"{"document":{"id":"\#(Self.sum(file))","collection":"c","origin":"a \"b\".md","title":"T","mediaType":"text/markdown","metadata":{"k":"v"},"sizeBytes":"\#(file.count)"}}"#
            )
        }
    }

    @Test func severalFilesHaveAResultEach() async throws {
        try await TestSystem.run(.with { $0.uploadBytesMax = 100_000 }) { system in
            let name = { (file: String) in "Content-Disposition: form-data; name=\"f\"; filename=\"\(file)\"" }
            let origin = "Content-Disposition: form-data; name=\"origin\""
            let body = Self.form([
                (name("one.md"), Array("1".utf8)), (name("refused"), Self.bytes(90_000)),
                (name("big"), Self.bytes(100_001)),
                (origin, Array("o2".utf8)), (name("two.md"), []), (name("three.md"), []),
            ])
            let answer = try await post(system, "/v1/documents:upload", type: "multipart/form-data; boundary=b", body)
            #expect(answer.status == 207)
            let text = answer.text
            #expect(
                text.hasPrefix(
                    #"[{"file":"one.md","status":200,"result":{"document":{"id":"49","origin":"one.md","sizeBytes":"1"}}}"#
                ))
            #expect(text.contains(#"{"file":"refused","status":400,"problem":{"type":"urn:acp:problem:wrong-type""#))
            #expect(text.contains(#"{"file":"big","status":413,"problem":"#))
            #expect(text.contains(#"{"file":"two.md","status":200,"result":{"document":{"id":"0","origin":"o2"}}}"#))
            #expect(text.contains(#"{"file":"three.md","status":400,"#))
            expectHeaders(answer, "batch")
        }
    }

    @Test func brokenForms() async throws {
        try await TestSystem.run { system in
            let file = "Content-Disposition: form-data; name=\"f\"; filename=\"x\""
            for (name, type, body) in [
                ("no boundary", "multipart/form-data", Self.form([])),
                ("bad boundary", "multipart/form-data; boundary=a\"b", Self.form([])),
                (
                    "no file", "multipart/form-data; boundary=b",
                    Self.form([("Content-Disposition: form-data; name=\"a\"", [])])
                ),
                ("empty", "multipart/form-data; boundary=b", []),
                ("other boundary", "multipart/form-data; boundary=c", Self.form([(file, [])])),
                ("no end", "multipart/form-data; boundary=b", Array(Self.form([(file, [1])]).dropLast(4))),
                ("no disposition", "multipart/form-data; boundary=b", Self.form([("X: y", [])])),
                (
                    "attachment", "multipart/form-data; boundary=b",
                    Self.form([("Content-Disposition: attachment; name=a", [])])
                ),
                (
                    "no name", "multipart/form-data; boundary=b",
                    Self.form([("Content-Disposition: form-data; filename=a", [])])
                ),
                ("two dispositions", "multipart/form-data; boundary=b", Self.form([(file + "\r\n" + file, [])])),
                (
                    "base64", "multipart/form-data; boundary=b",
                    Self.form([(file + "\r\nContent-Transfer-Encoding: base64", [])])
                ),
                ("no header", "multipart/form-data; boundary=b", Self.form([("nonsense", [])])),
                (
                    "long header", "multipart/form-data; boundary=b",
                    Self.form([(file + "\r\nX: " + String(repeating: "a", count: 9000), [])])
                ),
                (
                    "unknown field", "multipart/form-data; boundary=b",
                    Self.form([("Content-Disposition: form-data; name=nope", []), (file, [])])
                ),
                (
                    "not text", "multipart/form-data; boundary=b",
                    Self.form([("Content-Disposition: form-data; name=title", [0xFF]), (file, [])])
                ),
            ] as [(String, String, [UInt8])] {
                let answer = try await post(system, "/v1/documents:upload", type: type, body)
                #expect(answer.status == 400, "\(name): \(answer.text)")
                #expect(answer["content-type"] == "application/problem+json", "\(name)")
            }
        }
    }

    @Test func formsParseTheSameHoweverTheyArrive() throws {
        let parts: [(String, [UInt8])] = [
            ("Content-Disposition: form-data; name=a", Array("\r\n\r\n--\r\n--c".utf8)),
            ("Content-Disposition: form-data; name=b; filename=f", Self.bytes(300)),
            ("Content-Disposition: form-data; name=c", []),
        ]
        let body = Self.form(parts) + Array("epilogue".utf8)
        for step in [1, 2, 3, 5, 7, 64, body.count] {
            var parser = MultipartParser(boundary: "b")
            var seen: [(MultipartParser.Part, [UInt8])] = []
            var ends = 0
            for start in stride(from: 0, to: body.count, by: step) {
                parser.feed(ByteBuffer(bytes: body[start..<min(start + step, body.count)]))
                while let event = try parser.next() {
                    switch event {
                    case .part(let part): seen.append((part, []))
                    case .data(let bytes): seen[seen.count - 1].1 += Array(bytes.readableBytesView)
                    case .partEnd: ends += 1
                    }
                }
            }
            #expect(parser.isFinished && ends == 3)
            #expect(seen.map(\.0.name) == ["a", "b", "c"])
            #expect(seen.map(\.0.fileName) == [nil, "f", nil])
            #expect(seen.map(\.1) == parts.map(\.1), "step \(step)")
        }
    }

    @Test func changedFormsNeverCrash() throws {
        var seed: UInt64 = 42
        func random(_ below: Int) -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(seed >> 33) % below
        }
        let body = Self.form([
            ("Content-Disposition: form-data; name=\"a\\\"\"; filename=f\r\nContent-Type: x", Self.bytes(50)),
            ("Content-Disposition: form-data; name=c", []),
        ])
        for _ in 0..<5000 {
            var changed = body
            for _ in 0...random(3) {
                switch random(3) {
                case 0: changed[random(changed.count)] = UInt8(random(256))
                case 1: changed.remove(at: random(changed.count))
                default: changed.insert(Array("\r\n-b;\"=:".utf8)[random(8)], at: random(changed.count))
                }
            }
            var parser = MultipartParser(boundary: "b")
            parser.feed(ByteBuffer(bytes: changed))
            while let event = try? parser.next() { if case .part(let part) = event { #expect(!part.name.isEmpty) } }
        }
    }
}
