import Core
import Gateway
import Testing

@Suite struct Strictness {
    private static let get = "GET /v1/health HTTP/1.1\r\n"
    private static let post =
        "POST /v1/search HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX-API-Key: admin-key\r\n"

    private struct Case {
        let name: String
        let bytes: String
        let status: Int

        init(_ name: String, _ bytes: String, _ status: Int = 400) {
            self.name = name
            self.bytes = bytes
            self.status = status
        }
    }

    private static let refused: [Case] = [
        Case("no host", get + "\r\n"),
        Case("two hosts", get + "Host: a\r\nHost: a\r\n\r\n"),
        Case("bad host", get + "Host: a b\r\n\r\n"),
        Case("empty host", get + "Host:\r\n\r\n"),
        Case("host of the URI differs", "GET http://x/v1/health HTTP/1.1\r\nHost: y\r\n\r\n"),
        Case("bare LF", "GET /v1/health HTTP/1.1\nHost: h\n\n"),
        Case("bare LF between headers", get + "Host: h\nX: y\r\n\r\n"),
        Case("bare LF at the end", get + "Host: h\r\n\n"),
        Case("bare CR in a value", get + "Host: h\r\nX: a\rb\r\n\r\n"),
        Case("NUL in a value", get + "Host: h\r\nX: a\0b\r\n\r\n"),
        Case("control character in a value", get + "Host: h\r\nX: a\u{1}b\r\n\r\n"),
        Case("space before the colon", get + "Host : h\r\n\r\n"),
        Case("folded header", get + "Host: h\r\nX: a\r\n b\r\n\r\n"),
        Case("space before the first header", get + " Host: h\r\n\r\n"),
        Case("no name", get + "Host: h\r\n: x\r\n\r\n"),
        Case("no colon", get + "Host: h\r\nX\r\n\r\n"),
        Case("character not of a token in a name", get + "Host: h\r\nX(: y\r\n\r\n"),
        Case("length and chunked", post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Case("chunked and length", post + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n"),
        Case("two lengths", post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
        Case("two different lengths", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
        Case("list of lengths", post + "Content-Length: 2, 2\r\n\r\n{}"),
        Case("signed length", post + "Content-Length: +2\r\n\r\n{}"),
        Case("negative length", post + "Content-Length: -2\r\n\r\n{}"),
        Case("hexadecimal length", post + "Content-Length: 0x2\r\n\r\n{}"),
        Case("length with a space inside", post + "Content-Length: 2 2\r\n\r\n{}"),
        Case("empty length", post + "Content-Length:\r\n\r\n{}"),
        Case("length beyond 64 bits", post + "Content-Length: 18446744073709551618\r\n\r\n{}"),
        Case("unknown coding", post + "Transfer-Encoding: gzip\r\n\r\n"),
        Case("chunked not last", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        Case("coding before chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        Case("chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Case("disguised chunked", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        Case(
            "chunked in HTTP/1.0", "POST /v1/search HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Case("bad chunk size", post + "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n"),
        Case("chunk size with a sign", post + "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n"),
        Case("chunk size with a prefix", post + "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n"),
        Case("chunk size with a space", post + "Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n"),
        Case("chunk with bare LF", post + "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n"),
        Case("chunk longer than its size", post + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"),
        Case(
            "chunk size beyond 64 bits", post + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n"
        ),
        Case("unknown method", "BREW /v1/health HTTP/1.1\r\nHost: h\r\n\r\n"),
        Case("version with a letter", "GET /v1/health HTTP/1.x\r\nHost: h\r\n\r\n"),
        Case("version 2", "GET /v1/health HTTP/2.0\r\nHost: h\r\n\r\n"),
        Case("no version", "GET /v1/health\r\nHost: h\r\n\r\n"),
        Case("tab instead of space", "GET\t/v1/health HTTP/1.1\r\nHost: h\r\n\r\n"),
        Case("something behind the version", "GET /v1/health HTTP/1.1 x\r\nHost: h\r\n\r\n"),
        Case("connect", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"),
        Case("asterisk with GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n"),
        Case("fragment", "GET /v1/health#x HTTP/1.1\r\nHost: h\r\n\r\n"),
        Case("raw byte in the URI", "GET /v1/\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n"),
        Case("backslash", "GET /v1\\health HTTP/1.1\r\nHost: h\r\n\r\n"),
        Case("expectation", get + "Host: h\r\nExpect: 200-ok\r\n\r\n", 417),
        Case("URI of 9 KiB", "GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        Case("one header of 20 KiB", get + "Host: h\r\nX: \(String(repeating: "a", count: 20_000))\r\n\r\n", 431),
        Case(
            "17 KiB of headers",
            get + "Host: h\r\n" + (0..<17).map { "X\($0): \(String(repeating: "a", count: 1000))\r\n" }.joined()
                + "\r\n", 431),
        Case("101 headers", get + "Host: h\r\n" + (0..<101).map { "X\($0): a\r\n" }.joined() + "\r\n", 431),
        Case("JSON beyond the limit", post + "Content-Length: 6000000\r\n\r\n", 413),
        Case(
            "JSON beyond the limit in chunks",
            post + "Transfer-Encoding: chunked\r\n\r\n600000\r\n" + String(repeating: " ", count: 0x600000), 413),
    ]

    @Test func refusedAndClosed() async throws {
        try await TestSystem.run { system in
            for request in Self.refused {
                let connection = try await system.connect()
                // The answer may come, and the connection close, before everything is sent.
                try? await connection.send(request.bytes)
                let answer = try await connection.answer()
                #expect(answer.status == request.status, "\(request.name)")
                #expect(answer["content-type"] == "application/problem+json", "\(request.name)")
                #expect(answer["connection"] == "close", "\(request.name)")
                expectHeaders(answer, "\(request.name)")
                // What follows is never taken for a request.
                try? await connection.send("GET /v1/health HTTP/1.1\r\nHost: h\r\n\r\n")
                #expect(await connection.readToEnd().isEmpty, "\(request.name)")
            }
            #expect(system.log.calls.isEmpty)
        }
    }

    @Test func theEdgesOfTheLimitsAreInside() async throws {
        try await TestSystem.run { system in
            let room = String(repeating: "a", count: 8192 - "/v1/search?query=".utf8.count)
            let target = try await system.send("GET", "/v1/search?query=\(room)")
            #expect(target.status == 200)
            let headers = (0..<15).map { "X\($0): \(String(repeating: "a", count: 1000))\r\n" }.joined()
            let head = try await system.send(Self.get + "Host: h\r\n" + headers + "\r\n")
            #expect(head.status == 200)
            let spaces = String(repeating: " ", count: (5 << 20) - 2)
            let body = try await system.send("POST", "/v1/search", body: "{}" + spaces)
            #expect(body.status == 200)
        }
    }

    @Test func connectionsStayOpenAndKeepTheOrderOfPipelinedRequests() async throws {
        try await TestSystem.run { system in
            let connection = try await system.connect()
            try await connection.send(
                (1...20).map { TestSystem.request("GET", "/v1/documents/\($0)") }.joined()
                    + TestSystem.request("POST", "/v1/search", body: Array("{}".utf8))
                    + TestSystem.request("GET", "/nothing") + TestSystem.request("GET", "/openapi.json"))
            for id in 1...20 { #expect(try await connection.answer().text == #"{"id":"\#(id)"}"#) }
            #expect(try await connection.answer().status == 200)
            #expect(try await connection.answer().status == 404)
            #expect(try await connection.answer().status == 200)
            try await connection.send(
                "POST /v1/search HTTP/1.1\r\nHost: h\r\nX-API-Key: admin-key\r\nContent-Type: application/json\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: x\r\n\r\n")
            #expect(try await connection.answer().status == 200)
            await connection.close()
        }
    }

    @Test func oldAndClosingClientsAreClosed() async throws {
        try await TestSystem.run { system in
            for request in [
                "GET /v1/health HTTP/1.0\r\n\r\n", "GET /v1/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                "GET /v1/health HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            ] {
                let connection = try await system.connect()
                try await connection.send(request)
                let answer = try await connection.answer()
                #expect(answer.status == 200)
                #expect(answer["connection"] == "close")
                #expect(await connection.readToEnd().isEmpty)
            }
        }
    }

    @Test func aBodyThatIsWaitedForIsInvited() async throws {
        try await TestSystem.run { system in
            let connection = try await system.connect()
            try await connection.send(Self.post + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            #expect(try await connection.read { $0.hasSuffix("\r\n\r\n") }.hasPrefix("HTTP/1.1 100 "))
            try await connection.send("{}")
            #expect(try await connection.answer().status == 200)
            await connection.close()
        }
    }

    @Test(arguments: ["", "GET /v1/hea", "GET /v1/health HTTP/1.1\r\nHost: h\r\n"])
    func slowHeadsAreDropped(_ start: String) async throws {
        try await TestSystem.run(
            .with {
                $0.slowClientSecondsMax = 0.2; $0.idleSecondsMax = 0.2
            }
        ) { system in
            let connection = try await system.connect()
            // The first byte decides the protocol; after an answer the connection is between requests.
            try await connection.send(Self.get + "Host: h\r\n\r\n" + start)
            #expect(try await connection.answer().status == 200)
            #expect(await connection.readToEnd().isEmpty)
        }
    }

    @Test func slowBodiesAreToldAndDropped() async throws {
        try await TestSystem.run(.with { $0.slowClientSecondsMax = 0.2 }) { system in
            for head in [
                Self.post,
                Self.post.replacing("search", with: "documents:upload").replacing("json", with: "octet-stream"),
            ] {
                let connection = try await system.connect()
                try await connection.send(head + "Content-Length: 5000\r\n\r\n{")
                let answer = try await connection.answer()
                #expect(answer.status == 408)
                expectHeaders(answer, "slow body")
                #expect(await connection.readToEnd().isEmpty)
            }
        }
    }

    @Test func slowReadersAreDropped() async throws {
        try await TestSystem.run(.with { $0.slowClientSecondsMax = 0.3 }) { system in
            let connection = try await system.connect(reads: false)
            try await connection.send(
                TestSystem.request(
                    "POST", "/v1/answers", ["Accept": "application/x-ndjson"], body: Array(#"{"question":"much"}"#.utf8)
                ))
            // 120 MB that nobody reads: the gateway gives the client up, and with it the call.
            await system.log.until { $0.cancelled == 1 }
            await connection.close()
        }
    }
}
