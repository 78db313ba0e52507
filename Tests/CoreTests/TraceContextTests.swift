import Core
import Testing

/// The cases of https://www.w3.org/TR/trace-context-2/#traceparent-header and of its test suite.
@Suite struct TraceContextTests {
    static let trace = "0af7651916cd43dd8448eb211c80319c"
    static let span = "b7ad6b7169203331"

    @Test(arguments: [
        "00-\(trace)-\(span)-00", "00-\(trace)-\(span)-01", "00-\(trace)-\(span)-03",
        // Unknown flags are dropped, not refused.
        "00-\(trace)-\(span)-ff",
        // A higher version is read by its first four fields; more may follow after a dash.
        "01-\(trace)-\(span)-01", "cc-\(trace)-\(span)-01", "cc-\(trace)-\(span)-01-what-the-future-will-be-like",
        "cc-\(trace)-\(span)-01-",
    ])
    func acceptsValidHeaders(_ header: String) throws {
        let context = try #require(TraceContext(traceparent: header))
        #expect(context.traceID == Self.trace)
        #expect(context.spanID == Self.span)
    }

    @Test(arguments: [
        "", "00", "ff-\(trace)-\(span)-01", "FF-\(trace)-\(span)-01",
        "00-\(trace.uppercased())-\(span)-01", "00-\(trace)-\(span.uppercased())-01", "00-\(trace)-\(span)-0A",
        "00-00000000000000000000000000000000-\(span)-01", "00-\(trace)-0000000000000000-01",
        // Version 00 has exactly four fields.
        "00-\(trace)-\(span)-01-extra", "00-\(trace)-\(span)-01-", "00-\(trace)-\(span)-01.",
        "cc-\(trace)-\(span)-01.what", "00-\(trace)-\(span)", "00-\(trace)-\(span)-1", "0-\(trace)-\(span)-01",
        "00-\(trace)-\(span)-xx", "00_\(trace)_\(span)_01", "00-\(trace.dropLast())-\(span)-01",
        "00-\(trace)0-\(span)-01", "00-\(trace)-\(span.dropLast())-01", " 00-\(trace)-\(span)-01",
        "00-\(trace)-\(span)-01 ", "00-.af7651916cd43dd8448eb211c80319c-\(span)-01", "0é-\(trace)-\(span)-01",
    ])
    func refusesInvalidHeaders(_ header: String) {
        #expect(TraceContext(traceparent: header) == nil)
    }

    @Test func printsWhatItRead() {
        let header = "00-\(Self.trace)-\(Self.span)-01"
        #expect(TraceContext(traceparent: header)?.traceparent == header)
    }

    @Test func keepsOnlyTheKnownFlags() throws {
        let context = try #require(TraceContext(traceparent: "00-\(Self.trace)-\(Self.span)-ff"))
        #expect(context.flags == 3)
    }

    @Test func passesOnTheStateUpToItsLimit() {
        let header = "00-\(Self.trace)-\(Self.span)-01"
        let longest = String(repeating: "a", count: TraceContext.stateBytesMax)
        #expect(TraceContext(traceparent: header, state: longest)?.state == longest)
        #expect(TraceContext(traceparent: header, state: longest + "a")?.state == "")
    }

    @Test func aRootIsValidAndAChildStaysInTheTrace() throws {
        for _ in 0..<100 {
            let root = TraceContext.root()
            #expect(TraceContext(traceparent: root.traceparent) == root)
            let child = root.child()
            #expect(child.traceID == root.traceID)
            #expect(child.span != root.span)
        }
    }
}
