internal import Core

/// The addresses behind one name, and when to ask for them again.
///
/// A failed or empty answer never empties the book: a name service that is down must not take down what still works.
struct AddressBook<Address: Hashable & Sendable>: Sendable {
    /// More would cost connections without adding safety; the first ones are kept.
    static var addressesMax: Int { 64 }
    /// Age after which the next use asks again, in milliseconds.
    static var ageMsMax: Int64 { 60_000 }
    /// Shortest time between two successful questions when a peer was lost, in milliseconds.
    static var refreshMsMin: Int64 { 5000 }

    /// Without duplicates, in the order of the name service.
    private(set) var addresses: [Address] = []
    /// Why the last question failed; nil after one that did not.
    private(set) var failure: Failure?
    static var backoff: ReconnectBackoff {
        ReconnectBackoff(schedule: ExponentialBackoff(firstMs: 1000, delayMsMax: 30_000, multiplier: 1.6))
    }
    private var backoff = Self.backoff
    private var isResolving = false
    private var resolvedAt: MonotonicTime?
    private var notBefore = MonotonicTime(nanoseconds: 0)

    /// Whether to ask now; true is returned once per question, until `resolved` or `resolutionFailed` ends it.
    /// `peerWasLost` says that the addresses may have changed.
    mutating func shouldResolve(peerWasLost: Bool = false, now: MonotonicTime) -> Bool {
        guard !isResolving, now >= notBefore else { return false }
        if failure == nil, let resolvedAt {
            let age = resolvedAt.duration(to: now)
            guard age >= .milliseconds(peerWasLost ? Self.refreshMsMin : Self.ageMsMax) else { return false }
        }
        isResolving = true
        return true
    }

    /// Returns true when the set of addresses has changed.
    mutating func resolved(
        _ answer: [Address], now: MonotonicTime, using random: inout some RandomNumberGenerator
    ) -> Bool {
        var seen: Set<Address> = []
        let unique = Array(answer.filter { seen.insert($0).inserted }.prefix(Self.addressesMax))
        guard !unique.isEmpty else {
            let empty = Failure(
                .unavailable, reason: "NO_ADDRESS", "The name of the service has no address.",
                remedy: "Check the name and the name service.")
            resolutionFailed(empty, now: now, using: &random)
            return false
        }
        isResolving = false
        failure = nil
        resolvedAt = now
        notBefore = now
        backoff = ReconnectBackoff(schedule: backoff.schedule)
        guard Set(unique) != Set(addresses) else { return false }
        addresses = unique
        return true
    }

    /// The next question waits 1 s, growing 1.6-fold to 30 s.
    mutating func resolutionFailed(
        _ failure: Failure, now: MonotonicTime, using random: inout some RandomNumberGenerator
    ) {
        isResolving = false
        self.failure = failure
        notBefore = now.advanced(by: backoff.failed(using: &random))
    }
}
