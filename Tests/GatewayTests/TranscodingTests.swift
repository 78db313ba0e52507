import Core
import RPC
import Testing

@testable import Gateway

@Suite struct Transcoding {
    @Test func everyMethodInTheCatalogueHasARouteThatFindsIt() throws {
        let table = try RouteTable(Catalogue.methods)
        for method in Catalogue.methods {
            #expect(!method.httpRules.isEmpty, "\(method.path)")
            for rule in method.httpRules {
                // Variables become one segment each.
                let path = rule.template.split(separator: "/").map { segment -> Substring in
                    guard segment.first == "{", let end = segment.firstIndex(of: "}") else { return segment }
                    return "x1" + segment[segment.index(after: end)...]
                }
                guard case .found(let route, let variables) = try table.find(rule.verb, path) else {
                    Issue.record("\(rule.verb) \(rule.template) is not found")
                    continue
                }
                #expect(route.method == method && route.rule == rule)
                #expect(variables.allSatisfy { $0.value == "x1" })
            }
        }
    }

    @Test func unaryCallsByEveryKindOfBinding() async throws {
        try await TestSystem.run { system in
            let post = try await system.send(
                "POST", "/v1/search", body: #"{"query":"Ω","limit":1,"filter":{"a":"b"},"collections":["x"]}"#)
            #expect(post.status == 200)
            #expect(post["content-type"] == "application/json")
            #expect(
                post.text
                    == #"{"hits":[{"documentId":"d","start":"1","end":"1099511627776","hash":"AQI=","score":0.5,"title":"Ω","metadata":{"a":"b"}}],"sequence":"7","candidates":"1"}"#
            )
            let get = try await system.send(
                "GET", "/v1/search?query=a+b%2Bc&limit=1&filter[k]=v&filter.l.m=w&collections=x&collections=y")
            #expect(get.text.contains(#""title":"a b+c","metadata":{"k":"v","l.m":"w"}"#))
            #expect(get.text.contains(#""candidates":"2""#))
            // Large replies are written off the loop and answered on it.
            let large = try await system.send("GET", "/v1/search?query=a&limit=5000")
            #expect(large.status == 200 && large.body.count > 400_000)
            #expect(try await system.send("GET", "/v1/documents/a%2Fb%20c").text == #"{"id":"a/b c"}"#)
            #expect(try await system.send("DELETE", "/v1/documents/7").text == #"{"id":"7","deleted":true}"#)
            #expect(
                try await system.send("GET", "/v1/revisions/r1/text?start=2&end=9").text
                    == #"{"revisionId":"r1","start":"2","end":"9","text":"Ω"}"#)
            #expect(
                try await system.send("GET", "/v1/documents?page_size=3&includeDeleted=true").text
                    == #"{"nextPageToken":"3 true"}"#)
            #expect(try await system.send("GET", "/v1/jobs?state=DEAD").text == #"{"jobs":[{"state":"DEAD"}]}"#)
            #expect(
                try await system.send("POST", "/v1/citations:verify", body: #"{"citations":[{"quote":"q"},{}]}"#).text
                    == #"{"checks":[{"valid":true},{}],"allValid":true}"#)
            #expect(try await system.send("GET", "/v1/whoami").text == #"{"name":"admin"}"#)
            #expect(try await system.send("GET", "/v1/health", key: nil).text == #"{"status":"SERVING"}"#)
        }
    }

    @Test func headIsGetWithoutItsBody() async throws {
        try await TestSystem.run { system in
            let get = try await system.send("GET", "/v1/status")
            let head = try await system.send("HEAD", "/v1/status")
            #expect(head.status == 200)
            #expect(head["content-length"] == get["content-length"])
        }
    }

    @Test func failuresBecomeProblems() async throws {
        try await TestSystem.run { system in
            func problem(_ query: String) async throws -> RawConnection.Answer {
                let answer = try await system.send("GET", "/v1/search?query=\(query)")
                #expect(answer["content-type"] == "application/problem+json")
                expectHeaders(answer, "\(query)")
                return answer
            }
            let busy = try await problem("busy")
            #expect(busy.status == 429)
            #expect(busy["retry-after"] == "2")
            let id = try #require(busy["x-request-id"])
            let trace = try #require(busy["traceparent"]).split(separator: "-")[1]
            #expect(
                busy.text
                    == #"{"type":"urn:acp:problem:busy","title":"Too many requests","status":429,"detail":"Too much.","code":"RESOURCE_EXHAUSTED","#
                    + #""reason":"BUSY","remedy":"Wait.","requestId":"\#(id)","traceId":"\#(trace)","retryAfterMs":1500}"#
            )
            #expect(try await problem("down")["retry-after"] == "1")
            let fields = try await problem("fields")
            #expect(fields.status == 400)
            #expect(fields.text.hasSuffix(#""fieldErrors":[{"field":"query","description":"it is \"bad\""}]}"#))
            for code in StatusCode.allCases where code != .ok {
                #expect(try await problem("code:\(code.rawValue)").status == code.httpStatus, "\(code)")
            }
        }
    }

    private struct Request {
        let verb: String
        let uri: String
        let status: Int
        let headers: [String: String]
        let body: String?
        let type: String?

        init(
            _ verb: String, _ uri: String, _ headers: [String: String] = [:], body: String? = nil,
            type: String? = "application/json", is status: Int
        ) {
            self.verb = verb
            self.uri = uri
            self.headers = headers
            self.body = body
            self.type = type
            self.status = status
        }
    }

    private static let requests: [Request] = [
        .init("GET", "/nothing", is: 404),
        .init("GET", "/v1/documents/", is: 404),
        .init("GET", "/v1//documents", is: 404),
        .init("GET", "/v1/../etc", is: 400),
        .init("GET", "/v1/%2e%2E/etc", is: 400),
        .init("GET", "/v1/documents/%00", is: 400),
        .init("GET", "/v1/documents/%ff", is: 400),
        .init("GET", "/v1/documents/%4", is: 400),
        .init("GET", "/v1/search?query=%zz", is: 400),
        .init("GET", "/v1/search?nope=1", is: 400),
        .init("GET", "/v1/search?limit=1&limit=2", is: 400),
        .init("POST", "/v1/search?query=a", body: "{}", is: 400),
        .init("POST", "/v1/search", body: "{", is: 400),
        .init("POST", "/v1/search", body: #"{"query":"a"}"#, type: "text/plain", is: 415),
        .init("POST", "/v1/search", body: #"{"query":"a"}"#, type: nil, is: 415),
        .init("POST", "/v1/search", ["Content-Encoding": "gzip"], body: "{}", is: 415),
        .init("POST", "/v1/search", body: "{}", type: "application/json; charset=utf-8", is: 200),
        .init("GET", "/v1/status", body: "{}", is: 400),
        .init("GET", "/v1/status", ["Accept": "text/html"], is: 406),
        .init("GET", "/v1/status", ["Accept": "text/html, application/*;q=0.1"], is: 200),
        .init("GET", "/v1/status", ["Accept": "application/json;q=0"], is: 406),
        .init("GET", "/v1/status", ["Request-Timeout": "0"], is: 400),
        .init("GET", "/v1/status", ["Request-Timeout": "nan"], is: 400),
        .init("GET", "/v1/status", ["Idempotency-Key": ""], is: 400),
        .init("HEAD", "/v1/jobs/1:watch", is: 405),
    ]

    @Test func whatIsRefusedBeforeAnyCall() async throws {
        try await TestSystem.run { system in
            for request in Self.requests {
                let answer = try await system.send(
                    request.verb, request.uri, request.headers, body: request.body, type: request.type)
                #expect(answer.status == request.status, "\(request.verb) \(request.uri)")
                expectHeaders(answer, "\(request.verb) \(request.uri)")
                #expect(answer.status < 400 || request.verb == "HEAD" || answer.text.hasPrefix("{\"type\":"))
            }
            #expect(system.log.calls.count == 2)
        }
    }

    @Test func otherVerbsAndOptions() async throws {
        try await TestSystem.run { system in
            let put = try await system.send("PUT", "/v1/search")
            #expect(put.status == 405)
            #expect(put["allow"] == "GET, HEAD, OPTIONS, POST")
            let options = try await system.send("OPTIONS", "/v1/documents/7")
            #expect(options.status == 204)
            #expect(options["allow"] == "DELETE, GET, HEAD, OPTIONS")
            #expect(options["access-control-allow-origin"] == nil)
            expectHeaders(options, "OPTIONS")
            #expect(try await system.send("OPTIONS", "*").status == 204)
            #expect(try await system.send("POST", "/healthz").status == 405)
        }
    }

    @Test func whoMayCall() async throws {
        try await TestSystem.run { system in
            let nobody = try await system.send("GET", "/v1/status", key: nil)
            #expect(nobody.status == 401)
            #expect(nobody["www-authenticate"] == "Bearer realm=\"acp\"")
            #expect(try await system.send("GET", "/v1/status", key: "wrong").status == 401)
            #expect(try await system.send("GET", "/v1/keys", key: "viewer-key").status == 403)
            #expect(try await system.send("GET", "/v1/status", ["X-API-Key": "viewer-key"], key: nil).status == 200)
            #expect(try await system.send("GET", "/v1/status", ["X-API-Key": "admin-key"]).status == 200)
            #expect(try await system.send("GET", "/v1/status", ["X-API-Key": "viewer-key"]).status == 400)
            #expect(try await system.send("GET", "/v1/status", ["Authorization": "Basic YTpi"], key: nil).status == 401)
            #expect(system.log.calls.last?.credential == "admin-key")
        }
    }

    @Test func traceIdsAndKeysGoThrough() async throws {
        try await TestSystem.run { system in
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            let answer = try await system.send(
                "GET", "/v1/status",
                [
                    "traceparent": parent, "tracestate": "a=1, b@c=2", "X-Request-Id": "req-1",
                    "X-Correlation-Id": "cor.1",
                    "Idempotency-Key": "once", "Request-Timeout": "5",
                ])
            let call = try #require(system.log.calls.last)
            #expect(call.trace.traceID == "0af7651916cd43dd8448eb211c80319c")
            #expect(call.trace.state == "a=1,b@c=2")
            #expect(call.trace.flags == 1)
            let own = try #require(answer["traceparent"]?.split(separator: "-"))
            #expect(own[1] == "0af7651916cd43dd8448eb211c80319c")
            #expect(own[2] != "b7ad6b7169203331" && own[2] != call.trace.spanID)
            #expect(answer["x-request-id"] == "req-1")
            #expect(call.requestID == "req-1")
            #expect(call.correlationID == "cor.1")
            #expect(call.idempotencyKey == "once")
            #expect(call.hasDeadline)
        }
    }

    @Test(arguments: [
        "", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "x\r\ntraceparent: y",
    ])
    func malformedTracesStartNewOnes(_ parent: String) async throws {
        try await TestSystem.run { system in
            let answer = try await system.send(
                "GET", "/v1/status", ["traceparent": parent, "tracestate": "a=1", "X-Request-Id": "bad id"])
            #expect(answer.status == 200)
            let call = try #require(system.log.calls.last)
            #expect(call.trace.traceID != "0af7651916cd43dd8448eb211c80319c")
            #expect(call.trace.state == "")
            #expect(UUIDv7(answer["x-request-id"] ?? "") != nil)
        }
    }

    @Test func traceStateIsWholeOrAbsent() {
        #expect(RequestIdentity.traceState(["a=1", "b=2"]) == "a=1,b=2")
        #expect(RequestIdentity.traceState([" a=1 ,,\tb=2"]) == "a=1,b=2")
        for bad in [
            "A=1", "a=1,a=2", "a", "a=", "a=b=c", "=1", "a@=1", "@a=1", "a@b@c=1",
            String(repeating: "k", count: 257) + "=1",
        ] {
            #expect(RequestIdentity.traceState([bad]) == "", "\(bad)")
        }
        let many = (0..<33).map { "k\($0)=1" }
        #expect(RequestIdentity.traceState([many.joined(separator: ",")]) == "")
        #expect(RequestIdentity.traceState([many.dropLast().joined(separator: ",")]).split(separator: ",").count == 32)
    }

    @Test func aServiceWithoutAnAddressIsSaidToBe() async throws {
        try await TestSystem.run(without: ["acp.v1.Search"]) { system in
            let answer = try await system.send("GET", "/v1/search?query=a")
            #expect(answer.status == 501)
        }
    }

    @Test func aDeadlineEndsTheCall() async throws {
        try await TestSystem.run { system in
            let answer = try await system.send("GET", "/v1/search?query=hang", ["Request-Timeout": "0.05"])
            #expect(answer.status == 504)
            await system.log.until { $0.cancelled == 1 }
        }
    }

    @Test func aClientThatLeavesCancelsTheCall() async throws {
        try await TestSystem.run { system in
            let connection = try await system.connect()
            try await connection.send(TestSystem.request("GET", "/v1/search?query=hang"))
            await system.log.until { $0.calls.count == 1 }
            await connection.close()
            await system.log.until { $0.cancelled == 1 }
        }
    }
}
