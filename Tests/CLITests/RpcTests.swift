import Core
import Foundation
import Glibc
import RPC
import Synchronization
import Testing

@testable import CLI

@Suite struct RpcCommandTests {
    @Test func servicesAndMethodsAreListed() async throws {
        try await RpcTestServer.with { server in
            let services = await server.run(["list"])
            #expect(services.status == 0)
            #expect(services.out.contains("acp.v1.Health      2"))
            #expect(services.out.contains("test.v1.Kinds      8"))
            for name in ["test.v1.Kinds", "Kinds"] {
                let methods = await server.run(["list", name])
                #expect(methods.out.contains("test.v1.Kinds/Chat   bidirectional     test.v1.Note  test.v1.Note\n"))
                #expect(methods.out.contains("test.v1.Kinds/Count  server streaming  test.v1.Note  test.v1.Note\n"))
            }
            let lines = await server.run(["list", "-o", "jsonl"])
            #expect(lines.out.hasPrefix(#"{"server":"acp://127.0.0.1:"#))
            #expect(
                lines.out.contains(
                    #"{"name":"Echo","kind":"CALL_KIND_UNARY","requestType":"test.v1.Note","responseType":"test.v1.Note"}"#
                ))
            let wrong = await server.run(["list", "Kind"])
            #expect(wrong.status == 5 && wrong.err.contains("Did you mean test.v1.Kinds?"))
        }
    }

    @Test func declarationsAreShownWithTheirComments() async throws {
        try await RpcTestServer.with { server in
            let method = await server.run(["describe", "Echo"])
            #expect(
                method.out == """
                    // method test.v1.Kinds.Echo, from kinds.proto

                    // The note comes back.
                    rpc Echo(test.v1.Note) returns (test.v1.Note);

                    message Note {
                      string text = 1;
                      uint32 number = 2;
                      repeated test.v1.Note notes = 3;
                    }

                    """)
            for (name, part) in [
                ("test.v1.Kinds", "// Calls of every kind.\nservice Kinds {\n"), ("test.v1.Note", "message Note {"),
                ("/test.v1.Kinds/Join", "rpc Join(stream test.v1.Note)"), ("test.v1.Note.text", "message Note {"),
                ("Health", "option (google.api.http) = {get: \"/v1/health\"};"),
            ] {
                let shown = await server.run(["describe", name])
                #expect(shown.status == 0 && shown.out.contains(part), "\(name): \(shown)")
            }
            let json = await server.run(["describe", "Echo", "-o", "json"])
            #expect(json.out.contains(#""kind": "method""#) && json.out.contains(#""file": "kinds.proto""#))
            #expect(await server.run(["describe", "test.v1.Nothing"]).status == 5)
        }
    }

    @Test func oneMessageEachWay() async throws {
        try await RpcTestServer.with { server in
            let echo = await server.run(["call", "test.v1.Kinds/Echo", "-d", #"{"text":"é","notes":[{"number":7}]}"#])
            #expect(echo.status == 0)
            #expect(echo.out == "{\n  \"text\": \"é\",\n  \"notes\": [\n    {\n      \"number\": 7\n    }\n  ]\n}\n")
            #expect(await server.run(["call", "/test.v1.Kinds/Echo"]).out == "{}\n")
            #expect(
                await server.run(["call", "Echo", "--emit-defaults", "-o", "jsonl"]).out
                    == #"{"text":"","number":0,"notes":[]}"# + "\n")
            #expect(await server.run(["call", "Echo", "-d", #"{"text":"x"}"#, "-o", "yaml"]).out == "text: x\n")
            let harmful = await server.run(["call", "Echo", "-o", "jsonl", "-d", #"{"text":"\u202e\u009b"}"#])
            #expect(harmful.out == #"{"text":"\u202e\u009b"}"# + "\n")
            #expect(await server.run(["call", "Health/Check"]).out == "{\n  \"status\": \"SERVING\"\n}\n")
        }
    }

    @Test func streamsAreLines() async throws {
        try await RpcTestServer.with { server in
            let count = await server.run(["call", "Count", "-d", #"{"text":"n","number":3}"#])
            #expect(count.out == "{\"text\":\"n\"}\n{\"text\":\"n\",\"number\":1}\n{\"text\":\"n\",\"number\":2}\n")
            #expect(await server.run(["call", "Count", "-d", #"{"number":0}"#]).out == "")
            let values = #"{"text":"a"}{"text":"b"} {}"# + "\n\n" + #"{"text":"c"}"#
            #expect(
                await server.run(["call", "Join", "-d", values, "-o", "jsonl"]).out == #"{"text":"abc","number":4}"#
                    + "\n")
            #expect(await server.run(["call", "Join"]).out == "{}\n")
            #expect(
                await server.run(["call", "Chat", "-d", values]).out
                    == "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{}\n{\"text\":\"c\"}\n")
            #expect(await server.run(["call", "Chat", "-d", "{}{}", "-o", "yaml"]).out == "---\n{}\n---\n{}\n")
        }
    }

    @Test func inputIsSentAsItComes() async throws {
        try await RpcTestServer.with { server in
            let pipe = try #require(OpenPipe())
            let replies = Mutex(0)
            pipe.write(#"{"text":"one"} {"te"#)
            let outcome = await server.run(["call", "Chat", "-d", "@/dev/fd/\(pipe.reader)"]) { _ in
                // The second value is completed only after the reply to the first.
                let count = replies.withLock { count -> Int in
                    count += 1
                    return count
                }
                if count == 1 { pipe.write(#"xt":"two"}"#) } else { pipe.close() }
            }
            #expect(outcome.out == "{\"text\":\"one\"}\n{\"text\":\"two\"}\n")
            #expect(outcome.status == 0)
        }
    }

    @Test func aCallEndsWithItsReplyThoughMoreInputMayCome() async throws {
        try await RpcTestServer.with { server in
            let pipe = try #require(OpenPipe())
            pipe.write(#"{"text":"one"}"#)
            let outcome = await server.run(["call", "First", "-d", "@/dev/fd/\(pipe.reader)", "-o", "jsonl"])
            #expect(outcome.status == 0 && outcome.out == "{\"text\":\"one\"}\n")
            pipe.close()
        }
    }

    @Test(
        arguments: [
            (1, 2), (2, 1), (3, 1), (4, 6), (5, 5), (6, 1), (7, 4), (8, 1), (9, 1), (10, 1), (11, 1), (12, 1), (13, 1),
            (14, 6),
            (15, 1), (16, 4),
        ] as [(Int, Int32)])
    func theStatusDecidesHowTheCommandEnds(_ code: Int, _ status: Int32) async throws {
        try await RpcTestServer.with { server in
            let outcome = await server.run(["call", "Fail", "-d", #"{"text":"Because.","number":\#(code)}"#, "-v"])
            #expect(outcome.status == status)
            #expect(outcome.out.isEmpty)
            #expect(outcome.err.contains("acp: error: Because.\n"))
            #expect(outcome.err.contains("\(StatusCode(rawValue: code)?.name ?? "") ASKED_FOR, server at 127.0.0.1:"))
            #expect(outcome.err.contains("acp: trailing metadata\n  why-bin: AP8=\n"))
        }
    }

    @Test func metadataGoesBothWays() async throws {
        try await RpcTestServer.with { server in
            let outcome = await server.run([
                "call", "Echo", "-v", "--metadata", "colour=deep red", "--metadata", "raw-bin=AP8=",
            ])
            #expect(
                outcome.err.contains(
                    """
                    acp: sent metadata
                      colour: deep red
                      raw-bin: AP8=
                    acp: initial metadata
                      seen-colour: deep red
                      seen-raw-bin: AP8=
                    acp: trailing metadata
                      seen-colour: deep red
                      seen-raw-bin: AP8=
                    acp: 1 message received, 
                    """))
            let times = #/received, \d+ µs in the server after \d+ µs in its queue\n$/#
            #expect(outcome.err.contains(times), "\(outcome.err)")
            for wrong in ["Upper=x", "k=é", "k-bin=not base64"] {
                #expect(await server.run(["call", "Echo", "--metadata", wrong]).status == 1, "\(wrong)")
            }
        }
    }

    @Test func whatIsWrongIsSaidWithItsPlace() async throws {
        try await RpcTestServer.with { server in
            let cases: [(arguments: [String], status: Int32, error: String)] = [
                (["Echo", "-d", #"{"notes":[{},{"number":"x"}]}"#], 1, "notes[1].number: it must be a whole number"),
                (["Echo", "-d", #"{"text":"#], 1, "the JSON ends too early"),
                (["Echo", "-d", "xyz"], 1, "an object was expected"),
                (["Echo", "-d", "{}{}"], 64, "Echo takes one message"),
                (["Count", "-d", "{} x"], 64, "Count takes one message"),
                (["Join", "-d", #"{} {"texd":"x"}"#], 1, "Message 2 of the input: The JSON was refused: texd"),
                (["Echo", "-d", "@/nowhere/at.json"], 5, "/nowhere/at.json cannot be read"),
                (["test.v1.Note"], 1, "test.v1.Note is not a method"),
                (["Ecko"], 5, "Did you mean test.v1.Kinds.Echo?"),
                (["Hang", "--timeout", "100ms"], 6, "DEADLINE_EXCEEDED"),
                (["Lie"], 1, "The server's reply is not what it describes"),
            ]
            for (arguments, status, error) in cases {
                let outcome = await server.run(["call"] + arguments)
                #expect(outcome.status == status && outcome.err.contains(error), "\(arguments): \(outcome)")
                #expect(outcome.out.isEmpty)
            }
            #expect(await server.run(["call"]).status == 64)
        }
    }

    @Test func serversThatCannotTellAreNamed() async throws {
        try await RpcTestServer.with({ _, _ in }) { server in
            let outcome = await server.run(["list"])
            #expect(outcome.status == 1 && outcome.err.contains("acp.v1.Reflection"))
        }
        let nowhere = ["rpc", "list", "--server", "127.0.0.1:1", "--quiet"]
        #expect(await CommandRunner.run(Root.self, nowhere) == 6)
        let both = ["rpc", "call", "Echo", "--ingest-url", "127.0.0.1:1", "--agents-url", "127.0.0.1:1"]
        #expect(await CommandRunner.run(Root.self, both) == 6)
        #expect(await CommandRunner.run(Root.self, ["rpc", "list", "--server", "somewhere"]) == 64)
        #expect(await CommandRunner.run(Root.self, ["rpc", "list", "--server", "acp://192.0.2.1:8000"]) == 1)
    }

    /// Without --server the services of the settings are asked, and the one that has the method is called.
    @Test func theServiceThatHasAMethodIsFound() async throws {
        try await RpcTestServer.with({ router, _ in ReflectionServer.add(to: &router) }) { plain in
            try await RpcTestServer.with { kinds in
                let out = Mutex("")
                let settings = ["--ingest-url", plain.address, "--agents-url", kinds.address]
                let status = await StandardOutput.$sink.withValue({ text in out.withLock { $0 += text } }) {
                    await CommandRunner.run(
                        Root.self, ["rpc", "call", "Kinds/Echo", "-d", #"{"number":1}"#] + settings)
                }
                #expect(status == 0 && out.withLock { $0 } == "{\n  \"number\": 1\n}\n")
                out.withLock { $0 = "" }
                let listed = await StandardOutput.$sink.withValue({ text in out.withLock { $0 += text } }) {
                    await CommandRunner.run(Root.self, ["rpc", "list"] + settings)
                }
                #expect(listed == 0)
                #expect(out.withLock { $0 }.contains("acp.v1.Health      2        ingest"))
                #expect(out.withLock { $0 }.contains("test.v1.Kinds      8        agents"))
            }
        }
    }
}

@Suite struct JSONSplitterTests {
    private func split(_ text: String, piece: Int) throws -> [String] {
        var splitter = JSONSplitter()
        var values: [String] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: piece) {
            splitter.add(Array(bytes[start..<min(start + piece, bytes.count)]))
            while let value = try splitter.next() { values.append(String(decoding: value, as: UTF8.self)) }
        }
        if let rest = splitter.rest() { values.append(String(decoding: rest, as: UTF8.self)) }
        return values
    }

    @Test(
        arguments: [
            ("", []), (" \n ", []), ("{}", ["{}"]), ("{}{}", ["{}", "{}"]),
            (" {\"a\": [1, {}]}\n[ ]", ["{\"a\": [1, {}]}", "[ ]"]),
            (#"{"a":"}\"{"}"b""#, [#"{"a":"}\"{"}"#, #""b""#]), (#""\\" 1"#, [#""\\""#, "1"]),
            ("null{}true 1.5", ["null", "{}", "true", "1.5"]), ("{\"a\":", ["{\"a\":"]), ("} {}", ["}", "{}"]),
            ("é {}", ["é", "{}"]), ("\"\\", ["\"\\"]),
        ] as [(String, [String])])
    func valuesAreCutWhereverTheBytesAre(_ text: String, _ values: [String]) throws {
        for piece in 1...max(1, text.utf8.count) { #expect(try split(text, piece: piece) == values, "\(piece)") }
    }

    @Test func aValueMayNotGrowWithoutEnd() throws {
        var splitter = JSONSplitter(valueBytesMax: 8)
        splitter.add(Array("\"234567".utf8))
        #expect(try splitter.next() == nil)
        splitter.add(Array("8".utf8))
        #expect(try splitter.next() == nil)
        splitter.add(Array("9".utf8))
        #expect(throws: Failure.self) { try splitter.next() }
    }
}

/// A pipe whose reading end others can open by its path.
private final class OpenPipe: Sendable {
    let reader: Int32
    private let writer: Mutex<Int32>

    init?() {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { return nil }
        reader = ends[0]
        writer = Mutex(ends[1])
    }

    func write(_ text: String) {
        writer.withLock { writer in
            guard writer >= 0 else { return }
            let count = Glibc.write(writer, text, text.utf8.count)
            precondition(count == text.utf8.count)
        }
    }

    func close() {
        writer.withLock { writer in
            if writer >= 0 { Glibc.close(writer) }
            writer = -1
        }
    }

    deinit {
        close()
        Glibc.close(reader)
    }
}
