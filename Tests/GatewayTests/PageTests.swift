import Core
import Gateway
import Testing

@Suite struct PageAndOperators {
    @Test func thePageAndItsPartsAreServedWithAStrictPolicy() async throws {
        try await TestSystem.run { system in
            for (path, type) in [
                ("/", "text/html; charset=utf-8"), ("/assets/app.js", "text/javascript; charset=utf-8"),
                ("/assets/app.css", "text/css; charset=utf-8"), ("/openapi.json", "application/json"),
                ("/assets/icon.svg", "image/svg+xml"),
            ] {
                let answer = try await system.send("GET", path, key: nil)
                #expect(answer.status == 200)
                #expect(answer["content-type"] == type)
                #expect(answer["cache-control"] == "no-cache")
                #expect(answer.body.count > 200)
                expectHeaders(answer, "\(path)")
                let head = try await system.send("HEAD", path, key: nil)
                #expect(head["content-length"] == String(answer.body.count))
            }
            let page = try await system.send("GET", "/", key: nil)
            let policy = try #require(page["content-security-policy"])
            #expect(policy.hasPrefix("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"))
            #expect(!policy.contains("unsafe"))
            // Nothing inline, nothing from elsewhere.
            for forbidden in ["style=", "onclick", "javascript:", "http://", "https://", "<style", "//cdn"] {
                #expect(!page.text.contains(forbidden), "\(forbidden)")
            }
            let script = try await system.send("GET", "/assets/app.js", key: nil).text
            for forbidden in [
                "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", "http",
            ] {
                #expect(!script.contains(forbidden), "\(forbidden)")
            }
        }
    }

    @Test func theDescriptionNamesEveryRoute() async throws {
        try await TestSystem.run { system in
            let text = try await system.send("GET", "/openapi.json", key: nil).text
            for path in ["/v1/search", "/v1/answers", "/v1/documents:upload", "/v1/revisions/{revision_id}/text"] {
                #expect(text.contains("\"\(path)\""))
            }
        }
    }

    @Test func operatorsAreAnsweredHereToo() async throws {
        try await TestSystem.run { system in
            let health = try await system.send("GET", "/healthz", key: nil)
            #expect(health.status == 200 && health.text == "ok\n")
            expectHeaders(health, "/healthz")
            #expect(try await system.send("GET", "/readyz?x=1", key: nil).status == 503)
            #expect(try await system.send("GET", "/metrics", key: nil).status == 404)
        }
    }

    @Test func theOtherProfileLeavesOneHeaderOut() async throws {
        try await TestSystem.run(.with { $0.headerProfile = .owasp }) { system in
            let answer = try await system.send("GET", "/v1/health", key: nil)
            #expect(answer["x-xss-protection"] == nil)
            #expect(answer["x-frame-options"] == "DENY")
        }
    }
}
