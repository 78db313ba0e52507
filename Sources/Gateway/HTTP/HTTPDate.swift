internal import Core
internal import Synchronization

/// The value of the Date header (RFC 9110, IMF-fixdate).
enum HTTPDate {
    private static let cached = Mutex<(second: Int64, text: String)>((-1, ""))
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Made once a second.
    static func now() -> String {
        let second = WallTime.now().microseconds / 1_000_000
        return cached.withLock { cached in
            if cached.second != second { cached = (second, text(second)) }
            return cached.text
        }
    }

    static func text(_ second: Int64) -> String {
        // 2026-11-22T22:41:30.000000Z
        let civil = WallTime(microseconds: second * 1_000_000).rfc3339
        let parts = civil.prefix(19).split { $0 == "-" || $0 == "T" }
        let month = months[(Int(parts[1]) ?? 1) - 1]
        return "\(days[Int(second / 86_400 % 7)]), \(parts[2]) \(month) \(parts[0]) \(parts[3]) GMT"
    }
}
