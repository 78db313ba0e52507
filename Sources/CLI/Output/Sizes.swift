/// A number of bytes with at most three digits before the unit (kB = 1,000 bytes), for people.
func shownBytes(_ bytes: UInt64) -> String {
    guard bytes >= 1000 else { return "\(bytes) B" }
    var (unit, value) = ("kB", bytes / 100)
    // In tenths of the unit.
    for next in ["MB", "GB", "TB"] where value >= 10_000 { (unit, value) = (next, value / 1000) }
    return "\(value / 10).\(value % 10) \(unit)"
}
