import Core
import Foundation
import NIOCore
import RPC
import Testing

/// Messages that only a server knows: every kind of field, and what our own files do not use.
@Suite struct ForeignMessagesTests {
    private static let kinds = """
        syntax = "proto3";
        package test.v1;
        import "google/protobuf/timestamp.proto";
        message Scalars {
          double a = 1; float b = 2; int32 c = 3; int64 d = 4; uint32 e = 5; uint64 f = 6; sint32 g = 7; sint64 h = 8;
          fixed32 i = 9; fixed64 j = 10; sfixed32 k = 11; sfixed64 l = 12; bool m = 13; string n = 14; bytes o = 15;
          Colour p = 16; google.protobuf.Timestamp q = 17;
        }
        message Lists {
          repeated double a = 1; repeated int32 c = 3; repeated sint64 h = 8; repeated fixed32 i = 9;
          repeated bool m = 13; repeated string n = 14; repeated bytes o = 15; repeated Colour p = 16;
          repeated Scalars s = 17; repeated int32 loose = 18 [packed = false];
        }
        message Maps {
          map<string, string> a = 1; map<int32, Scalars> b = 2; map<bool, bytes> c = 3; map<uint64, Colour> d = 4;
          map<sint32, double> e = 5; map<string, Tree> f = 6;
        }
        message Choice {
          oneof value { int32 number = 1; string text = 2; bytes raw = 3; Scalars scalars = 4; bool flag = 5; }
          optional int32 maybe = 6; optional string word = 7; optional Tree tree = 8;
        }
        message Tree { string name = 1; repeated Tree branches = 2; Tree next = 3; }
        message Named { string a = 1 [json_name = "q\\"uote"]; string b_c = 5; string far = 536870911; }
        message Nothing {}
        enum Colour { option allow_alias = true; GREY = 0; GRAY = 0; RED = 1; DARK = -5; BLUE = 2147483646; }
        """

    private static func pool() throws -> DescriptorPool { try Compiled.pool(kinds) }

    @Test(arguments: [
        (
            "Scalars",
            #"{"a":0.5,"b":-1.25,"c":-2147483648,"d":"-9223372036854775808","e":4294967295,"f":"18446744073709551615","g":-1,"h":"-2","i":7,"j":"8","k":-9,"l":"-10","m":true,"n":"é","o":"AAE=","p":"RED","q":"2026-11-22T22:41:30Z"}"#
        ),
        ("Scalars", "{}"), ("Scalars", #"{"p":"BLUE"}"#), ("Scalars", #"{"p":"DARK"}"#), ("Scalars", #"{"p":77}"#),
        (
            "Lists",
            #"{"a":[0,1.5],"c":[0,-1,2],"h":["0","-3"],"i":[0,9],"m":[true,false],"n":["","x"],"o":["","AA=="],"p":["GREY","RED"],"s":[{},{"c":1}],"loose":[1,2]}"#
        ),
        (
            "Maps",
            #"{"a":{"k":"v"},"b":{"-1":{"c":2}},"c":{"true":"AA=="},"d":{"18446744073709551615":"RED"},"e":{"-7":0.5},"f":{"t":{"name":"x","branches":[{"name":"y"}]}}}"#
        ),
        ("Choice", #"{"number":0}"#), ("Choice", #"{"text":""}"#), ("Choice", #"{"raw":""}"#),
        ("Choice", #"{"scalars":{}}"#), ("Choice", #"{"flag":false}"#),
        ("Choice", #"{"maybe":0,"word":"","tree":{}}"#),
        ("Tree", #"{"name":"a","branches":[{"next":{"name":"b"}},{}]}"#),
        ("Named", #"{"q\"uote":"x","bC":"y","far":"z"}"#), ("Nothing", "{}"),
    ])
    func jsonComesBackAsItWent(_ type: String, _ json: String) throws {
        #expect(try Self.pool().roundTrip(json, "test.v1.\(type)") == json)
    }

    @Test(
        arguments: [
            ("Lists", #"{"c":[1,2]}"#, [0x1A, 0x02, 1, 2]), ("Lists", #"{"loose":[1,2]}"#, [0x90, 1, 1, 0x90, 1, 2]),
            ("Choice", #"{"number":0}"#, [0x08, 0]), ("Scalars", #"{"c":0}"#, []),
            ("Choice", #"{"maybe":0}"#, [0x30, 0]),
            ("Maps", #"{"a":{"k":""}}"#, [0x0A, 3, 0x0A, 1, 0x6B]), ("Scalars", #"{"p":"GRAY"}"#, []),
            ("Named", #"{"b_c":"y"}"#, [0x2A, 1, 0x79]),
        ] as [(String, String, [UInt8])])
    func bytesAreThoseOfProto3(_ type: String, _ json: String, _ bytes: [UInt8]) throws {
        #expect(try Self.pool().bytes(json, "test.v1.\(type)") == bytes)
    }

    /// Members of a oneof share their place: each must leave nothing of itself to the next.
    @Test func theLastMemberOfAChoiceCounts() throws {
        let pool = try Self.pool()
        let members: [(json: String, bytes: [UInt8])] = [
            (#"{"number":-1}"#, [0x08] + WireTree.varint(UInt64.max)), (#"{"text":"ab"}"#, [0x12, 2, 0x61, 0x62]),
            (#"{"raw":"AQ=="}"#, [0x1A, 1, 1]), (#"{"scalars":{"c":3}}"#, [0x22, 2, 0x18, 3]),
            (#"{"flag":true}"#, [0x28, 1]),
        ]
        for first in members {
            for second in members {
                #expect(
                    try pool.text(first.bytes + second.bytes + second.bytes, "test.v1.Choice") == second.json,
                    "\(first.json), then \(second.json)")
            }
        }
    }

    @Test func aMessageThatComesInPartsIsMerged() throws {
        let parts: [UInt8] = [0x22, 2, 0x18, 3] + [0x22, 2, 0x20, 5] + [0x42, 3, 0x0A, 1, 0x61] + [0x42, 2, 0x12, 0]
        #expect(
            try Self.pool().text(parts, "test.v1.Choice")
                == #"{"scalars":{"c":3,"d":"5"},"tree":{"name":"a","branches":[{}]}}"#)
    }

    @Test func listsAreReadPackedOrNot() throws {
        let pool = try Self.pool()
        #expect(try pool.text([0x18, 1, 0x18, 2, 0x1A, 2, 3, 4], "test.v1.Lists") == #"{"c":[1,2,3,4]}"#)
        #expect(try pool.text([0x92, 1, 2, 5, 6], "test.v1.Lists") == #"{"loose":[5,6]}"#)
    }

    @Test func messagesMayContainThemselvesDownToALimit() throws {
        let pool = try Self.pool()
        func json(_ depth: Int) -> String {
            String(repeating: #"{"next":"#, count: depth) + "{}" + String(repeating: "}", count: depth)
        }
        #expect(try pool.roundTrip(json(31), "test.v1.Tree") == json(31))
        let tooDeep = #expect(throws: Failure.self) { try pool.roundTrip(json(32), "test.v1.Tree") }
        #expect(tooDeep?.code == .resourceExhausted)
        var bytes: [UInt8] = []
        for _ in 0..<20_000 {
            bytes = bytes.count < 100 ? [0x1A] + WireTree.varint(UInt64(bytes.count)) + bytes : bytes
        }
        let refused = #expect(throws: Failure.self) { try pool.text(bytes, "test.v1.Tree") }
        #expect(refused?.reason == "MALFORMED_MESSAGE")
    }

    @Test func proto2SaysWhatIsSet() throws {
        let pool = try Compiled.pool(
            """
            syntax = "proto2";
            package test.v1;
            message Old {
              required int32 a = 1; optional string b = 2 [default = "x"]; optional bool c = 3; optional Old d = 4;
              repeated int32 e = 5; repeated int32 f = 6 [packed = true]; map<string, int32> g = 7;
              extensions 100 to 200;
            }
            message Grouped { optional group Inner = 1 { optional int32 a = 1; } }
            extend Old { optional string extra = 100; }
            """)
        for json in [#"{"a":0,"b":"","c":false,"d":{}}"#, "{}", #"{"e":[1,2],"f":[3,4],"g":{"k":5}}"#] {
            #expect(try pool.roundTrip(json, "test.v1.Old") == json)
        }
        #expect(try pool.bytes(#"{"e":[1,2],"f":[3]}"#, "test.v1.Old") == [0x28, 1, 0x28, 2, 0x32, 1, 3])
        let refused = #expect(throws: Failure.self) { try pool.roundTrip("{}", "test.v1.Grouped") }
        #expect(refused?.message.contains("test.v1.Grouped.inner is a group") == true)
    }

    @Test func namesFindEverythingThatIsDeclared() throws {
        let pool = try Compiled.pool(
            """
            syntax = "proto3";
            package test.v1;
            // What it does.
            service Things { rpc Get(Thing) returns (stream Thing); }
            message Thing { message Part { Side side = 1; } enum Side { LEFT = 0; } Part part = 1; }
            """)
        for name in [
            "Things", "Things.Get", "Thing", "Thing.part", "Thing.Part", "Thing.Part.side", "Thing.Side", "Thing.LEFT",
        ] {
            #expect(pool.symbol("test.v1.\(name)") != nil, "\(name)")
            #expect(pool.file(declaring: "test.v1.\(name)")?.name == "test/v1/test.proto")
        }
        #expect(pool.symbol("test.v1") == nil && pool.symbol("") == nil)
        let method = try pool.method("test.v1.Things.Get")
        #expect(method.path == "/test.v1.Things/Get" && method.serverStreaming && !method.idempotent)
    }
}
