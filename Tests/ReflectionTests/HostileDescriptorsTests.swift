import Core
import RPC
import Testing

/// A server may describe itself in any way: at worst, nothing can be called.
@Suite struct HostileDescriptorsTests {
    private static func refusal(_ file: [UInt8], _ type: String = "bad.M") -> Failure? {
        #expect(throws: Failure.self) {
            let pool = try DescriptorPool(files: [file])
            _ = try pool.message("{}".utf8, type: type)
        }
    }

    private static func message(_ fields: [WireTree], nested: [WireTree] = [], oneofs: [String] = []) -> [UInt8] {
        Describe.file([(4, .message(Describe.message("M", fields, nested: nested, oneofs: oneofs)))])
    }

    @Test(
        arguments: [
            ([Describe.field("a", 0)], "bad.M.a has the number 0"),
            ([Describe.field("a", UInt64(bitPattern: -1))], "has the number -1"),
            ([Describe.field("a", 1 << 29)], "has the number 536870912"),
            ([Describe.field("a", 7), Describe.field("b", 7)], "bad.M.a and bad.M.b have the same number"),
            ([Describe.field("a", 1), Describe.field("a", 2)], "bad.M.a is declared twice"),
            ([Describe.field("a", 1, jsonName: "x"), Describe.field("b", 2, jsonName: "x")], "JSON name of another"),
            ([Describe.field("", 1)], "has the name \"\""), ([Describe.field("a b", 1)], "has the name \"a b\""),
            ([Describe.field("1a", 1)], "has the name"),
            ([Describe.field(String(repeating: "a", count: 256), 1)], "has the name"),
            ([Describe.field("a", 1, type: nil)], "has no type"), ([Describe.field("a", 1, type: 19)], "has no type"),
            ([Describe.field("a", 1, type: 10, typeName: ".bad.M")], "is a group"),
            ([Describe.field("a", 1, type: 11, typeName: ".bad.Gone")], "bad.Gone, which is not in its files"),
            ([Describe.field("a", 1, type: 14, typeName: ".bad.M")], "bad.M, which is not in its files"),
            ([Describe.field("a", 1, type: 11, typeName: "M")], "not a full name"),
            ([Describe.field("a", 1, type: 11)], "not a full name"),
            ([Describe.field("a", 1, type: 11, typeName: ".bad..M")], "not a full name"),
            ([Describe.field("a", 1, oneof: 0)], "in a oneof that does not exist"),
            ([Describe.field("a", 1, jsonName: String(repeating: "x", count: 300))], "too long a JSON name"),
        ] as [([WireTree], String)])
    func fieldsThatCannotBeAreRefused(_ fields: [WireTree], _ reason: String) {
        let failure = Self.refusal(Self.message(fields))
        #expect(failure?.reason == "BAD_DESCRIPTOR" && failure?.code == .internalError)
        #expect(failure?.message.contains(reason) == true, "\(failure?.message ?? "")")
    }

    @Test func repeatedMembersOfAChoiceAreRefused() {
        let failure = Self.refusal(Self.message([Describe.field("a", 1, label: 3, oneof: 0)], oneofs: ["o"]))
        #expect(failure?.message.contains("repeated and in a oneof") == true)
    }

    @Test(
        arguments: [
            [Describe.field("key", 1, type: 9)],
            [Describe.field("key", 1, type: 9), Describe.field("value", 3, type: 9)],
            [Describe.field("key", 1, type: 12), Describe.field("value", 2, type: 9)],
            [Describe.field("key", 1, type: 9), Describe.field("value", 2, type: 9, label: 3)],
            [Describe.field("key", 2, type: 9), Describe.field("value", 1, type: 9)], [],
            [Describe.field("key", 1, type: 9), Describe.field("value", 2), Describe.field("more", 3)],
        ])
    func mapsThatAreNoMapsAreRefused(_ pair: [WireTree]) {
        let entry = Describe.message("E", pair, isMapEntry: true)
        let file = Self.message([Describe.field("m", 1, type: 11, typeName: ".bad.M.E", label: 3)], nested: [entry])
        #expect(Self.refusal(file)?.message.contains("bad.M.E is not the pair of a map") == true)
    }

    @Test func aFalseTimestampIsRefused() {
        let fields = [
            [Describe.field("seconds", 1, type: 9), Describe.field("nanos", 2)], [],
            [Describe.field("seconds", 1, type: 3)],
            [Describe.field("seconds", 1, type: 3, label: 3), Describe.field("nanos", 2)],
        ]
        for fields in fields {
            let file = Describe.file(
                [(4, .message(Describe.message("Timestamp", fields)))], package: "google.protobuf")
            #expect(
                Self.refusal(file, "google.protobuf.Timestamp")?.message.contains("is not that of protobuf") == true)
        }
    }

    /// A name of ours with another shape: what a server of another version has. It is handled as described, not as compiled in.
    @Test func ourOwnNamesMeanWhatTheServerSays() throws {
        let file = Describe.file(
            [
                (
                    4,
                    .message(
                        Describe.message(
                            "AskRequest", [Describe.field("number", 1, type: 3)],
                            nested: [Describe.message("FilterEntry", [Describe.field("only", 9)])]))
                )
            ], package: "acp.v1")
        let pool = try DescriptorPool(files: [file])
        #expect(try pool.roundTrip(#"{"number":"5"}"#, "acp.v1.AskRequest") == #"{"number":"5"}"#)
        #expect(try pool.roundTrip(#"{"only":5}"#, "acp.v1.AskRequest.FilterEntry") == #"{"only":5}"#)
        #expect(throws: Failure.self) { try pool.roundTrip(#"{"question":"x"}"#, "acp.v1.AskRequest") }
    }

    @Test func filesThatCannotBeAreRefused() {
        let empty = Describe.message("M", [])
        let files: [[[UInt8]]] = [
            [[0xFF, 0xFF]], [[]], [Describe.file([(4, .message(empty)), (4, .message(empty))])],
            [Describe.file([]), Describe.file([])], [Describe.file([], syntax: "proto9")],
            [Describe.file([], package: "a..b")], [Describe.file([], name: "a\nb")],
            [Describe.file([(5, .message(Describe.enumeration("E", [])))])],
            [Describe.file([(6, .message(Describe.service("S", [("m", "M", ".bad.M")])))])],
            [Describe.file([(4, .message(Describe.message("M", [], oneofs: ["1"])))])],
        ]
        for files in files {
            let failure = #expect(throws: Failure.self) { try DescriptorPool(files: files) }
            #expect(failure?.reason == "BAD_DESCRIPTOR")
        }
    }

    @Test func limitsHoldAtTheirEdge() throws {
        var limits = DescriptorPool.Limits()
        limits.filesMax = 2
        let files = (0..<3).map { Describe.file([], name: "f\($0).proto") }
        _ = try DescriptorPool(files: Array(files[..<2]), limits: limits)
        #expect(throws: Failure.self) { try DescriptorPool(files: files, limits: limits) }
        limits.bytesMax = files[0].count
        _ = try DescriptorPool(files: [files[0]], limits: limits)
        limits.bytesMax -= 1
        #expect(throws: Failure.self) { try DescriptorPool(files: [files[0]], limits: limits) }

        limits = DescriptorPool.Limits()
        limits.namesMax = 4
        limits.fieldsPerMessageMax = 3
        let fields = (1...UInt64(4)).map { Describe.field("f\($0)", $0) }
        _ = try DescriptorPool(files: [Self.message(Array(fields[..<3]))], limits: limits).roundTrip("{}", "bad.M")
        #expect(throws: Failure.self) { try DescriptorPool(files: [Self.message(fields)], limits: limits) }
        limits.namesMax = 5
        let pool = try DescriptorPool(files: [Self.message(fields)], limits: limits)
        #expect(throws: Failure.self) { try pool.roundTrip("{}", "bad.M") }
    }

    @Test func chainsOfMessagesAreFollowedWithoutRecursion() throws {
        let count = 10_000
        let chain = (0..<count).map { index -> (number: Int, value: WireTree.Value) in
            let next = index + 1 < count ? [Describe.field("next", 1, type: 11, typeName: ".bad.M\(index + 1)")] : []
            return (4, .message(Describe.message("M\(index)", next)))
        }
        let pool = try DescriptorPool(files: [Describe.file(chain)])
        #expect(try pool.roundTrip(#"{"next":{"next":{}}}"#, "bad.M0") == #"{"next":{"next":{}}}"#)
        var limits = DescriptorPool.Limits()
        limits.reachableMessagesMax = count - 1
        let limited = try DescriptorPool(files: [Describe.file(chain)], limits: limits)
        #expect(throws: Failure.self) { try limited.roundTrip("{}", "bad.M0") }
    }

    @Test func nestingOfDeclarationsIsBounded() {
        var message = Describe.message("M", [])
        for _ in 0..<200 { message = Describe.message("M", [], nested: [message]) }
        let failure = #expect(throws: Failure.self) {
            try DescriptorPool(files: [Describe.file([(4, .message(message))])])
        }
        #expect(failure?.reason == "BAD_DESCRIPTOR")
    }

    /// A tiny answer that would unpack to a lot.
    @Test func largeStructsCannotBeMultiplied() throws {
        let fields = (1...UInt64(4000)).map { Describe.field("f\($0)", $0, type: 9) }
        let file = Describe.file([
            (4, .message(Describe.message("Wide", fields))),
            (4, .message(Describe.message("M", [Describe.field("w", 1, type: 11, typeName: ".bad.Wide", label: 3)]))),
        ])
        let pool = try DescriptorPool(files: [file])
        let bytes = [UInt8](repeating: 0, count: 200_000).enumerated().map {
            $0.offset.isMultiple(of: 2) ? 0x0A : $0.element
        }
        let failure = #expect(throws: Failure.self) { try pool.text(bytes, "bad.M") }
        #expect(failure?.code == .resourceExhausted)
    }
}
