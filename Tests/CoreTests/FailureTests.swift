import Core
import Testing

@Suite struct StatusCodeTests {
    /// The project's one table of codes: number, name, HTTP status, exit status.
    static let table: [(StatusCode, Int, String, Int, Int32)] = [
        (.ok, 0, "OK", 200, 0), (.cancelled, 1, "CANCELLED", 499, 2), (.unknown, 2, "UNKNOWN", 500, 1),
        (.invalidArgument, 3, "INVALID_ARGUMENT", 400, 1), (.deadlineExceeded, 4, "DEADLINE_EXCEEDED", 504, 6),
        (.notFound, 5, "NOT_FOUND", 404, 5), (.alreadyExists, 6, "ALREADY_EXISTS", 409, 1),
        (.permissionDenied, 7, "PERMISSION_DENIED", 403, 4), (.resourceExhausted, 8, "RESOURCE_EXHAUSTED", 429, 1),
        (.failedPrecondition, 9, "FAILED_PRECONDITION", 400, 1), (.aborted, 10, "ABORTED", 409, 1),
        (.outOfRange, 11, "OUT_OF_RANGE", 400, 1), (.unimplemented, 12, "UNIMPLEMENTED", 501, 1),
        (.internalError, 13, "INTERNAL", 500, 1), (.unavailable, 14, "UNAVAILABLE", 503, 6),
        (.dataLoss, 15, "DATA_LOSS", 500, 1), (.unauthenticated, 16, "UNAUTHENTICATED", 401, 4),
    ]

    @Test func everyCodeMapsAsDocumented() {
        #expect(Self.table.map(\.0) == StatusCode.allCases)
        for (code, number, name, http, exit) in Self.table {
            #expect(code.rawValue == number)
            #expect(code.name == name)
            #expect(code.httpStatus == http)
            #expect(code.exitStatus == exit)
        }
    }
}

@Suite struct FailureTests {
    @Test func anExceededSizeIs413AFullDisk507AndAnExceededRate429() {
        #expect(Failure(.resourceExhausted, reason: Failure.diskFull, "full").httpStatus == 507)
        #expect(Failure(.resourceExhausted, reason: Failure.tooLarge, "too big").httpStatus == 413)
        #expect(Failure(.resourceExhausted, "too fast").httpStatus == 429)
        #expect(Failure(.invalidArgument, reason: Failure.tooLarge, "odd").httpStatus == 400)
    }

    @Test func wrappingKeepsFailuresAndHidesStrangers() {
        struct Stranger: Error { var secret = "hunter2" }
        let failure = Failure(.notFound, "gone")
        #expect(Failure(wrapping: failure) == failure)
        #expect(Failure(wrapping: CancellationError()).code == .cancelled)
        let hidden = Failure(wrapping: Stranger())
        #expect(hidden.code == .unknown)
        #expect(!hidden.description.contains("hunter2"))
    }

    @Test func describesCodeReasonMessageAndRemedy() {
        let failure = Failure(.unavailable, reason: "DRAINING", "It stops.", remedy: "Try another.")
        #expect(failure.description == "UNAVAILABLE (DRAINING): It stops. Try another.")
        #expect(Failure.invalid(field: "query", "is empty.").fields.first?.field == "query")
    }

    @Test func rolesIncludeTheOnesBeforeThem() {
        #expect(Role.viewer < .analyst && Role.analyst < .admin)
        for role in Role.allCases { #expect(Role(name: role.name) == role) }
        #expect(Role(name: "Admin") == nil)
        #expect(Role(name: "") == nil)
    }
}

@Suite struct HexTests {
    @Test func roundTripsEveryByte() {
        let bytes = Array(UInt8.min...UInt8.max)
        #expect(hexBytes(hexString(bytes)) == bytes)
        #expect(hexBytes(hexString(bytes).uppercased()) == bytes)
        #expect(hexString(0x0123_4567_89AB_CDEF as UInt64) == "0123456789abcdef")
    }

    @Test(arguments: ["0", "0g", "zz", "é", "0x", " 1"])
    func refusesWhatIsNotHex(_ text: String) {
        #expect(hexBytes(text) == nil)
    }
}

@Suite struct ByteSpanTests {
    @Test func ordersByStartThenEnd() {
        let spans = [ByteSpan(start: 2, end: 3), ByteSpan(start: 0, end: 9), ByteSpan(start: 0, end: 4)]
        #expect(spans.sorted().map(\.range) == [0..<4, 0..<9, 2..<3])
        #expect(ByteSpan(start: 4, end: 4).count == 0)
    }
}
