import Core
import Storage
import TestSupport
import Testing

/// Runs `body` with a pool on a new migrated database.
func withDatabase<Result>(
    _ adjust: (inout Database.Configuration) -> Void = { _ in }, _ body: (Database) async throws -> Result
) async throws -> Result {
    let database = try await TestPostgres.shared().freshDatabase(adjust)
    defer { database.close() }
    return try await body(database)
}

/// The failure that `body` throws; nil when it throws none.
func failure(_ body: () async throws -> Void) async -> Failure? {
    do {
        try await body()
        return nil
    } catch {
        return Failure(wrapping: error)
    }
}

/// SplitMix64: a short seeded generator for property tests (Steele, Lea, Flood 2014).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
