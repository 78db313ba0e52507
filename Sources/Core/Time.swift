#if canImport(Glibc)
    internal import Glibc
#endif

/// A moment of civil time: microseconds since 1970-01-01T00:00:00Z. For people and for storage; never for measuring durations.
public struct WallTime: Sendable, Hashable, Comparable {
    public var microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }

    public static func now() -> WallTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallTime(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    public static func < (lhs: WallTime, rhs: WallTime) -> Bool { lhs.microseconds < rhs.microseconds }

    /// RFC 3339 in UTC with exactly six fractional digits: `2026-11-22T22:41:30.000123Z`.
    public var rfc3339: String {
        let (days, dayMicros) = microseconds.floorDivided(by: 86_400_000_000)
        let (year, month, day) = civilDate(daysSinceEpoch: days)
        let seconds = dayMicros / 1_000_000
        var text: [UInt8] = []
        text.reserveCapacity(27)
        append(year, width: 4, to: &text)
        text.append(UInt8(ascii: "-"))
        append(month, width: 2, to: &text)
        text.append(UInt8(ascii: "-"))
        append(day, width: 2, to: &text)
        text.append(UInt8(ascii: "T"))
        append(seconds / 3600, width: 2, to: &text)
        text.append(UInt8(ascii: ":"))
        append(seconds / 60 % 60, width: 2, to: &text)
        text.append(UInt8(ascii: ":"))
        append(seconds % 60, width: 2, to: &text)
        text.append(UInt8(ascii: "."))
        append(dayMicros % 1_000_000, width: 6, to: &text)
        text.append(UInt8(ascii: "Z"))
        return String(decoding: text, as: UTF8.self)
    }
}

/// A moment on the monotonic clock, in nanoseconds. For durations, timeouts and leases inside one process.
public struct MonotonicTime: Sendable, Hashable, Comparable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static func now() -> MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    public static func < (lhs: MonotonicTime, rhs: MonotonicTime) -> Bool { lhs.nanoseconds < rhs.nanoseconds }

    /// This moment moved by `duration`, saturating at both ends.
    public func advanced(by duration: Duration) -> MonotonicTime {
        advanced(byNanoseconds: duration.wholeNanoseconds)
    }

    /// This moment moved, saturating at both ends.
    public func advanced(byNanoseconds nanos: Int64) -> MonotonicTime {
        if nanos >= 0 {
            let (sum, overflow) = nanoseconds.addingReportingOverflow(UInt64(nanos))
            return MonotonicTime(nanoseconds: overflow ? .max : sum)
        }
        let (difference, overflow) = nanoseconds.subtractingReportingOverflow(nanos.magnitude)
        return MonotonicTime(nanoseconds: overflow ? 0 : difference)
    }

    /// Nanoseconds from this moment to `later`; 0 when it is not later.
    public func nanosecondsElapsed(to later: MonotonicTime) -> Int64 {
        later > self ? Int64(clamping: later.nanoseconds - nanoseconds) : 0
    }

    /// The time from this moment to `other`; negative when `other` is earlier.
    public func duration(to other: MonotonicTime) -> Duration {
        other >= self
            ? .nanoseconds(Int64(clamping: other.nanoseconds - nanoseconds))
            : .nanoseconds(-Int64(clamping: nanoseconds - other.nanoseconds))
    }
}

extension Duration {
    /// The duration in whole nanoseconds, saturating.
    public var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds > 0 ? .max : .min }
        let (sum, sumOverflow) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return sumOverflow ? (seconds > 0 ? .max : .min) : sum
    }

    /// The duration in seconds, for metrics and display.
    public var inSeconds: Double { Double(wholeNanoseconds) / 1e9 }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

/// Proleptic Gregorian date of a day count, by Howard Hinnant's `civil_from_days` (https://howardhinnant.github.io/date_algorithms.html).
private func civilDate(daysSinceEpoch: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = daysSinceEpoch + 719_468
    let (era, dayOfEra) = shifted.floorDivided(by: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthIndex = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
    let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
}

private func append(_ value: Int64, width: Int, to text: inout [UInt8]) {
    let digits = String(value)
    for _ in 0..<max(0, width - digits.utf8.count) { text.append(UInt8(ascii: "0")) }
    text.append(contentsOf: digits.utf8)
}
