import Testing

@testable import RPC

@Suite struct PrinterTests {
    private func text(_ name: String, _ pool: DescriptorPool = DescriptorSet.embedded.pool) throws -> String {
        ProtoPrinter(pool).text(try #require(pool.symbol(name)))
    }

    @Test func aServiceIsWrittenWithCommentsRoutesAndRights() throws {
        #expect(
            try text("acp.v1.Health") == """
                // Whether a service can do its work. Answers without credentials, so that a load balancer can ask.
                service Health {
                  rpc Check(acp.v1.HealthCheckRequest) returns (acp.v1.HealthCheckResponse) {
                    option (acp.v1.policy) = {access: ACCESS_PUBLIC, idempotent: true};
                    option (google.api.http) = {get: "/v1/health"};
                  }
                  // The current state at once, then every change.
                  rpc Watch(acp.v1.HealthCheckRequest) returns (stream acp.v1.HealthCheckResponse) {
                    option (acp.v1.policy) = {access: ACCESS_PUBLIC, idempotent: true};
                    option (google.api.http) = {get: "/v1/health:watch"};
                  }
                }

                """)
    }

    @Test func aMethodComesWithItsMessages() throws {
        let text = try text("acp.v1.Ingest.UploadDocument")
        #expect(
            text.contains(
                "rpc UploadDocument(stream acp.v1.UploadDocumentRequest) returns (acp.v1.UploadDocumentResponse) {"))
        #expect(
            text.contains(
                "\nmessage UploadDocumentRequest {\n  oneof part {\n    // First message of the stream, once.\n"))
        #expect(text.contains("\nmessage UploadDocumentResponse {\n  acp.v1.Document document = 1;\n"))
    }

    @Test func everythingOfAFileIsWrittenAsItWasRead() throws {
        let pool = try Compiled.pool(
            """
            syntax = "proto3";
            package test.v1;
            import "google/protobuf/descriptor.proto";
            // Line one.
            //
            // Line three.
            message M {
              option deprecated = true;
              map<string, Inner> pairs = 1;
              optional int32 maybe = 2 [deprecated = true, json_name = "perhaps"];
              repeated E list = 3 [packed = false, (note) = "a \\"b\\"", (note) = "c"];
              oneof choice { string text = 4; bytes raw = 5; }
              message Inner {}
            }
            enum E { option allow_alias = true; A = 0 [deprecated = true]; B = 0; C = -1; }
            extend google.protobuf.FieldOptions { repeated string note = 50000; }
            """)
        #expect(
            try text("test.v1.M", pool) == """
                // Line one.
                //
                // Line three.
                message M {
                  option deprecated = true;
                  map<string, test.v1.M.Inner> pairs = 1;
                  optional int32 maybe = 2 [json_name = "perhaps", deprecated = true];
                  repeated test.v1.E list = 3 [packed = false, (test.v1.note) = "a \\"b\\"", (test.v1.note) = "c"];
                  oneof choice {
                    string text = 4;
                    bytes raw = 5;
                  }
                  message Inner {}
                }

                """)
        #expect(
            try text("test.v1.E", pool)
                == "enum E {\n  option allow_alias = true;\n  A = 0 [deprecated = true];\n  B = 0;\n  C = -1;\n}\n")
        #expect(
            try text("test.v1.note", pool)
                == "extend google.protobuf.FieldOptions {\n  repeated string note = 50000;\n}\n")
        #expect(try text("test.v1.M.text", pool) == text("test.v1.M", pool))
        #expect(try text("test.v1.C", pool) == text("test.v1.E", pool))
    }
}
