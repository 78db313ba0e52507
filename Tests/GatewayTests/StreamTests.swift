import Core
import Gateway
import Testing

@Suite struct Streams {
    private func ask(_ system: TestSystem, _ question: String, _ accept: String) async throws -> RawConnection.Answer {
        try await system.send("POST", "/v1/answers", ["Accept": accept], body: #"{"question":"\#(question)"}"#)
    }

    @Test func eventsHaveKindIdAndData() async throws {
        try await TestSystem.run { system in
            let answer = try await ask(system, "x", "text/event-stream")
            #expect(answer.status == 200)
            #expect(answer["content-type"] == "text/event-stream")
            expectHeaders(answer, "events")
            #expect(
                answer.text == """
                    event: retrieval
                    id: 1
                    data: {"retrieval":{"sequence":"3","candidates":"2"}}

                    event: sentence
                    id: 2
                    data: {"sentence":{"text":"line\\nbreak"}}

                    event: answer
                    id: 3
                    data: {"answer":{"id":"a1","outcome":"ABSTAINED"}}

                    event: end
                    data: {}


                    """)
        }
    }

    @Test func linesAndTheSingleAnswer() async throws {
        try await TestSystem.run { system in
            let lines = try await ask(system, "x", "application/x-ndjson")
            #expect(lines["content-type"] == "application/x-ndjson")
            #expect(lines.text.split(separator: "\n").count == 3)
            for accept in ["application/json", "*/*", "text/html, */*;q=0.1"] {
                let single = try await ask(system, "x", accept)
                #expect(single["content-type"] == "application/json")
                #expect(single.text == #"{"id":"a1","outcome":"ABSTAINED"}"#)
            }
            let watch = try await system.send("GET", "/v1/jobs/7:watch")
            #expect(watch["content-type"] == "application/x-ndjson")
            #expect(watch.text == "{\"id\":\"7\",\"state\":\"RUNNING\"}\n{\"id\":\"7\",\"state\":\"SUCCEEDED\"}\n")
            let events = try await system.send("GET", "/v1/jobs/7:watch", ["Accept": "text/event-stream"])
            #expect(events.text.hasPrefix("event: message\nid: 1\ndata: {\"id\":\"7\""))
            #expect(try await system.send("GET", "/v1/jobs/7:watch", ["Accept": "text/html"]).status == 406)
        }
    }

    @Test func failuresBeforeTheFirstMessageAreProblems() async throws {
        try await TestSystem.run { system in
            for accept in ["text/event-stream", "application/x-ndjson", "application/json"] {
                let answer = try await ask(system, "refused", accept)
                #expect(answer.status == 400)
                #expect(answer["content-type"] == "application/problem+json")
            }
            #expect(try await ask(system, "empty", "application/json").status == 500)
            #expect(try await ask(system, "empty", "text/event-stream").text == "event: end\ndata: {}\n\n")
            #expect(try await ask(system, "breaks", "application/json").status == 503)
        }
    }

    @Test func laterFailuresAreTheLastEvent() async throws {
        try await TestSystem.run { system in
            let events = try await ask(system, "breaks", "text/event-stream")
            #expect(events.status == 200)
            let last = try #require(events.text.split(separator: "\n\n").last)
            #expect(
                last.hasPrefix(
                    "event: error\ndata: {\"type\":\"urn:acp:problem:down\",\"title\":\"Service unavailable\",\"status\":503"
                ))
            let lines = try await ask(system, "breaks", "application/x-ndjson")
            #expect(
                lines.text.split(separator: "\n").last?.hasPrefix(#"{"error":{"type":"urn:acp:problem:down""#) == true)
        }
    }

    @Test func quietStreamsAreKeptAliveAndEndWithTheirClient() async throws {
        try await TestSystem.run(.with { $0.keepAliveSeconds = 0.05 }) { system in
            let connection = try await system.connect()
            try await connection.send(
                TestSystem.request("GET", "/v1/jobs/quiet:watch", ["Accept": "text/event-stream"]))
            _ = try await connection.read { $0.hasSuffix("\n\n") && $0.contains(": keep-alive") }
            await connection.close()
            await system.log.until { $0.cancelled == 1 }
        }
    }

    @Test func aStreamFlowsWithItsReader() async throws {
        try await TestSystem.run { system in
            let answer = try await ask(system, "some", "application/x-ndjson")
            #expect(answer.body.count { $0 == 10 } == 103)
            #expect(answer.body.count > 6_000_000)
        }
    }
}
