import Testing

@testable import Protogen

@Suite struct ValidationTests {
    /// A proto file that must be refused, and the complaint. The text begins on line 5.
    struct Case: Sendable, CustomTestStringConvertible {
        var complaint: String
        var text: String
        var head: String = Fixtures.standardHead

        var testDescription: String { complaint }
    }

    static let cases: [Case] = [
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get has no option (acp.v1.policy)",
            text: """
                service Things {
                  rpc Get(Thing) returns (Thing);
                }
                message Thing {}
                """),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get has no access in its (acp.v1.policy)",
            text: """
                service Things {
                  rpc Get(Thing) returns (Thing) { option (policy) = {idempotent: true}; }
                }
                message Thing {}
                """),
        Case(
            complaint: "acp/v1/bad.proto:6: error: acp.v1.Thing.name is `optional`",
            text: "message Thing {\n  optional string name = 1;\n}"),
        Case(
            complaint: "acp/v1/bad.proto:5: error: acp.v1.Tree contains itself",
            text: "message Tree { repeated Branch branches = 1; }\nmessage Branch { Tree tree = 1; }"),
        Case(
            complaint: "acp/v1/bad.proto:6: error: acp.v1.Thing.policies has the type acp.v1.MethodPolicy, for which",
            text: "message Thing {\n  map<string, MethodPolicy> policies = 1;\n}"),
        Case(
            complaint: "acp/v1/bad.proto:7: error: acp.v1.Thing.part is a group, which is not supported",
            text: "message Thing {\n  optional group Part = 1 {}\n}",
            head: "syntax = \"proto2\";\npackage acp.v1;\nimport \"acp/v1/options.proto\";\n\n\n"),
        Case(
            complaint: "acp/v1/bad.proto:1: error: write `syntax = \"proto3\";`",
            text: "message Thing {}", head: "syntax = \"proto2\";\npackage acp.v1;\n\n\n"),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get: `{name}` names no field of acp.v1.Thing",
            text: thing(http: #"get: "/v1/things/{name}""#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get: `{tags}` is not a single value",
            text: thing(http: #"get: "/v1/things/{tags}""#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get: body `part` names no field of acp.v1.Thing",
            text: thing(http: #"post: "/v1/things" body: "part""#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get: response_body `part` names no field of acp.v1.Thing",
            text: thing(http: #"get: "/v1/things" response_body: "part""#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get: GET takes no body",
            text: thing(http: #"get: "/v1/things" body: "*""#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get: the path `/v1/{id=**}` is not a template",
            text: thing(http: #"get: "/v1/{id=**}""#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: google.api.http needs one of get, put, post, delete, patch",
            text: thing(http: #"body: "*""#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: acp.v1.Things.Get has the route GET /v1/{kind} of acp.v1.Things.Get",
            text: thing(http: #"get: "/v1/{id}" additional_bindings {get: "/v1/{kind}"}"#)),
        Case(
            complaint: "acp/v1/bad.proto:6: error: Get names upload fields but is not client streaming",
            text: thing(policy: #"upload_start_field: "id" upload_data_field: "kind""#)),
        Case(
            complaint:
                "acp/v1/bad.proto:5: error: acp.v1.Metadata becomes `Metadata` in Swift, which means something else",
            text: "message Metadata {}"),
        Case(
            complaint: "acp/v1/bad.proto:6: error: acp.v1.Things.Self becomes `self`, which is taken",
            text: """
                service Things {
                  rpc Self(Thing) returns (Thing) { option (policy) = {access: ACCESS_VIEWER}; }
                }
                message Thing {}
                """),
        Case(
            complaint: "acp/v1/bad.proto:6: error: acp.v1.Thing.hash_value clashes with a member",
            text: "message Thing {\n  string hash_value = 1;\n}"),
        Case(
            complaint: "acp/v1/bad.proto:5: error: two fields of acp.v1.Thing become `ownerID` in Swift",
            text: "message Thing {\n  string ownerID = 1;\n  oneof owner_id {\n    string name = 2;\n  }\n}"),
        Case(
            complaint: "acp/v1/bad.proto:6: error: acp.v1.Thing.base clashes with a member that protoc-c adds",
            text: "message Thing {\n  string base = 1;\n}"),
        Case(
            complaint: "acp/v1/bad.proto:7: error: DEFAULT becomes `default` in Swift, which acp.v1.Size already has",
            text: "enum Size {\n  SIZE_UNSPECIFIED = 0;\n  DEFAULT = 1;\n}"),
        Case(
            complaint:
                "acp/v1/bad.proto:7: error: acp.v1.Thing.Part becomes `Thing.Part` in Swift, as acp.v1.Thing.part does",
            text: "message Thing {\n  oneof part { string a = 1; }\n  message Part {}\n}"),
        Case(
            complaint:
                "acp/v1/bad.proto:6: error: acp.v1.Thing.policy has the type acp.v1.MethodPolicy, for which no Swift",
            text: "message Thing {\n  MethodPolicy policy = 1;\n}"),
    ]

    private static func thing(http: String? = nil, policy: String = "") -> String {
        let option = http.map { "option (google.api.http) = {\($0)};" } ?? ""
        return """
            service Things {
              rpc Get(Thing) returns (Thing) { \(option) option (policy) = {access: ACCESS_VIEWER \(policy)}; }
            }
            message Thing { string id = 1; string kind = 2; repeated string tags = 3; }
            """
    }

    @Test(arguments: cases) func faultsNameTheirPlace(_ test: Case) throws {
        let faults = #expect(throws: Diagnostics.self) {
            try Outputs.files(Fixtures.schema(of: test.text, head: test.head))
        }
        let complaints = faults?.description.split(separator: "\n").map(String.init) ?? []
        #expect(complaints.contains { $0.hasPrefix(test.complaint) }, "\(complaints)")
    }

    @Test func everyFaultIsReportedInTheOrderOfLines() throws {
        let faults = #expect(throws: Diagnostics.self) {
            try Outputs.files(
                Fixtures.schema(
                    of: "message Failure {}\nmessage Thing {\n  string base = 1;\n}\nmessage Role {}"))
        }
        #expect(faults?.all.map(\.origin.line) == [5, 7, 9])
    }

    @Test func soundFilesPass() throws {
        let files = try Outputs.files(Fixtures.schema(of: "message Thing { string id = 1; }"))
        #expect(files.contains { $0.path == "Sources/RPC/Generated/Bad.messages.swift" })
    }
}
