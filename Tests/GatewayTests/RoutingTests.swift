import Core
import RPC
import Testing

@testable import Gateway

@Suite struct PathTemplates {
    private func match(_ template: String, _ path: String) throws -> [String]? {
        try PathTemplate(template).match(path.dropFirst().split(separator: "/", omittingEmptySubsequences: false))
            .map { $0.map { $0.joined(separator: "/") } }
    }

    @Test(
        arguments: [
            ("/v1/jobs", "/v1/jobs", []), ("/v1/jobs", "/v1/jobs/", nil), ("/v1/jobs", "/v1/job", nil),
            ("/v1/jobs/{id}", "/v1/jobs/7", ["7"]), ("/v1/jobs/{id}", "/v1/jobs/", nil),
            ("/v1/jobs/{id}", "/v1/jobs/a/b", nil),
            ("/v1/jobs/{id}:watch", "/v1/jobs/7:watch", ["7"]), ("/v1/jobs/{id}:watch", "/v1/jobs/7", nil),
            ("/v1/jobs/{id}:watch", "/v1/jobs/:watch", nil), ("/v1/jobs/{id}:watch", "/v1/jobs/a:b:watch", ["a:b"]),
            ("/v1/a:b", "/v1/a:b", []), ("/v1/a:b", "/v1/a", nil),
            ("/v1/{name=shelves/*}/x", "/v1/shelves/3/x", ["shelves/3"]),
            ("/v1/{name=shelves/*}/x", "/v1/other/3/x", nil),
            ("/v1/{a.b}/{c}", "/v1/1/2", ["1", "2"]), ("/v1/*/{c}", "/v1/x/2", ["2"]),
            ("/v1/{path=**}", "/v1/a/b/c", ["a/b/c"]), ("/v1/{path=**}", "/v1", [""]),
            ("/v1/{path=a/**}", "/v1/a/b/c", ["a/b/c"]),
            ("/v1/{path=**}:get", "/v1/a/b:get", ["a/b"]),
        ] as [(String, String, [String]?)])
    func matching(_ template: String, _ path: String, _ expected: [String]?) throws {
        #expect(try match(template, path) == expected)
    }

    @Test(arguments: [
        "", "v1", "/", "/v1/", "/v1/{}", "/v1/{a", "/v1/{a=}", "/v1/{a={b}}", "/v1/**/x", "/v1/a:", "/v1/a:b/c",
        "/v1/a}",
    ])
    func malformedTemplatesAreRefused(_ template: String) {
        #expect(throws: Failure.self) { try PathTemplate(template) }
    }

    @Test func theMoreSpecificTemplateWins() throws {
        let order = try ["/v1/{path=**}", "/v1/{a}/{b}", "/v1/{a}", "/v1/x", "/v1/{a}:get"].map { try PathTemplate($0) }
            .sorted { $0.isMoreSpecific(than: $1) }
        #expect(order.first?.verb == "get")
        #expect(order.last?.isOpenEnded == true)
        let literal = try #require(try order.firstIndex(of: PathTemplate("/v1/x")))
        let variable = try #require(try order.firstIndex(of: PathTemplate("/v1/{a}")))
        #expect(literal < variable)
    }
}

@Suite struct Targets {
    @Test func formsAndParameters() throws {
        let target = try RequestTarget("/a%20b/c?x=1&y=%CE%A9+z&flag&&e=", host: "h")
        #expect(target.path == "/a%20b/c")
        #expect(target.segments == ["a%20b", "c"])
        #expect(target.parameters == [.init("x", "1"), .init("y", "Ω z"), .init("flag", ""), .init("e", "")])
        #expect(try RequestTarget("HTTP://H:1/p?q=1", host: "h:1").path == "/p")
        #expect(try RequestTarget("http://h", host: "h").path == "/")
    }

    @Test(arguments: [
        "", "x", "//h@/..", "http://other/", "ftp://h/", "/a#b", "/a\"b", "/a\\b", "/a{b}", "/a b", "/\u{e9}", "/./a",
        "/a/%2E%2e/b",
        "/a?x=%", "/a?x=%C3%28",
    ])
    func refused(_ uri: String) {
        #expect(throws: HTTPRefusal.self) { try RequestTarget(uri, host: "h") }
    }

    @Test func lengthsAtTheEdge() throws {
        #expect(throws: Never.self) { try RequestTarget("/" + String(repeating: "a", count: 8191), host: "h") }
        #expect(throws: HTTPRefusal.self) { try RequestTarget("/" + String(repeating: "a", count: 8192), host: "h") }
    }

    @Test func hosts() {
        for good in ["localhost", "a.b-c:8080", "127.0.0.1:1", "[::1]", "[::1]:80", "a_b"] {
            #expect(RequestCheck.isHost(good), "\(good)")
        }
        for bad in ["", ":80", "a b", "a/b", "a@b", "a:b", "a:99999", "[::1", "::1:x", "[]", "a,b", "é"] {
            #expect(!RequestCheck.isHost(bad), "\(bad)")
        }
    }
}
