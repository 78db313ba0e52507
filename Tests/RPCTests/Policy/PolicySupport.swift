import Core
import Testing

@testable import RPC

func at(_ ms: Int) -> MonotonicTime { MonotonicTime(nanoseconds: 1_000_000_000_000 + UInt64(ms) * 1_000_000) }

extension MonotonicTime {
    /// Milliseconds after `at(0)`, for transcripts.
    var ms: Int { Int(at(0).duration(to: self).wholeNanoseconds / 1_000_000) }
}

/// Draws the middle of every range, so that transcripts show delays without their spread.
struct MiddleGenerator: RandomNumberGenerator {
    mutating func next() -> UInt64 { 1 << 63 }
}

func unavailable(_ reason: String = "DOWN", retryAfterMs: UInt32 = 0) -> Failure {
    Failure(.unavailable, reason: reason, "It is down.", retryAfterMs: retryAfterMs)
}

/// `#expect(actual == expected)` where the macro cannot stand: what changes a value, and closures whose only `try` it would hide.
func check<Value: Equatable>(
    _ actual: Value, _ expected: Value, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(actual == expected, comment, sourceLocation: sourceLocation)
}
