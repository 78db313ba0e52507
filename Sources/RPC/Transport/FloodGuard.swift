internal import Core

/// Budgets against peers that keep us busy without work: each kind of frame that costs something and carries nothing has an allowance
/// per window of ten seconds. No I/O.
struct FloodGuard {
    /// Frames a peer can send in any number unless they are counted.
    enum Kind: Int, CaseIterable {
        /// CANCEL of a stream that has ended already: answers and cancellations cross on the way.
        case cancel, lateCancel, ping, window, emptyData, ignored

        /// Frames allowed per window whatever else happens.
        var allowance: Int {
            switch self {
            case .cancel: 200
            case .lateCancel: 1000
            case .ping: 100
            case .window: 2000
            case .emptyData: 1000
            case .ignored: 1000
            }
        }

        var name: String {
            switch self {
            case .cancel: "CANCEL"
            case .lateCancel: "late CANCEL"
            case .ping: "PING"
            case .window: "WINDOW"
            case .emptyData: "empty DATA"
            case .ignored: "ignorable"
            }
        }
    }

    static let windowSeconds = 10

    private var counts: (Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0)
    private var opened = 0
    private var dataSent = 0
    private(set) var windowStart: MonotonicTime

    init(now: MonotonicTime) { windowStart = now }

    private mutating func roll(_ now: MonotonicTime) {
        guard windowStart.duration(to: now) >= .seconds(Self.windowSeconds) else { return }
        counts = (0, 0, 0, 0, 0, 0)
        opened = 0
        dataSent = 0
        windowStart = now
    }

    /// The peer opened a stream: cancelling up to half of those is ordinary.
    mutating func streamOpened() { opened &+= 1 }

    /// We sent DATA, which the peer may answer with WINDOW.
    mutating func sentData() { dataSent &+= 1 }

    /// - Throws: `ProtocolViolation` ENHANCE_YOUR_CALM in words, when the allowance of this kind is used up.
    mutating func received(_ kind: Kind, now: MonotonicTime) throws(ProtocolViolation) {
        roll(now)
        let count: Int
        switch kind {
        case .cancel:
            counts.0 += 1
            // More than the allowance, and more than half of what was opened.
            count = counts.0 * 2 > opened ? counts.0 : 0
        case .lateCancel:
            counts.5 += 1
            // Every stream of a correct peer may end so.
            count = counts.5 - min(counts.5, opened)
        case .ping:
            counts.1 += 1
            count = counts.1
        case .window:
            counts.2 += 1
            // One for each DATA frame on its stream and one on the connection is what a correct peer may need at most.
            count = counts.2 > 2 * dataSent ? counts.2 - 2 * dataSent : 0
        case .emptyData:
            counts.3 += 1
            count = counts.3
        case .ignored:
            counts.4 += 1
            count = counts.4
        }
        guard count > kind.allowance else { return }
        throw ProtocolViolation(
            "more than \(kind.allowance) \(kind.name) frames in \(Self.windowSeconds) s", code: .resourceExhausted)
    }
}
