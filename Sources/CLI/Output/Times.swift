internal import Core
internal import RPC

/// A time to the second in UTC; `-` for none.
func shortTime(_ time: Timestamp?) -> String {
    guard let time, time.seconds != 0 else { return "-" }
    return String(WallTime(microseconds: time.seconds &* 1_000_000).rfc3339.prefix(19)) + "Z"
}
