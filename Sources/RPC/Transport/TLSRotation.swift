internal import Core

/// Which version of some files is in use: what was read last, unless it could not be used, then what was read before. No I/O.
struct TLSRotation<Content: Sendable, Stamp: Hashable & Sendable>: Sendable {
    /// What a look at the files led to.
    enum Outcome {
        /// Nothing has changed, or what cannot be used was reported before.
        case nothing
        /// New content is in use.
        case changed(Content)
        /// The files cannot be used; `content` stays.
        case kept(Failure)
    }

    /// nil until the files could be used once.
    private(set) var content: Content?
    /// Why the last look failed; nil when `content` is what the files hold.
    private(set) var failure: Failure?
    private var stamps: [Stamp?] = []
    private var reported: (stamps: [Stamp?], failure: Failure)?
    private var lookedAt: MonotonicTime?
    private let interval: Duration

    /// - Parameter checkSeconds: how long a look is good for.
    init(checkSeconds: Int) { interval = .seconds(checkSeconds) }

    /// Whether `content` may be used without a look at the files.
    func isFresh(now: MonotonicTime) -> Bool {
        guard content != nil, let lookedAt else { return false }
        return lookedAt.duration(to: now) < interval
    }

    /// The next use looks at the files, however short ago the last look was.
    mutating func expire() { lookedAt = nil }

    /// Whether the files have to be read: they are not those in use, or could not be used the last time.
    /// What failed is tried again although nothing seems to have changed, for the reason may lie elsewhere.
    func mustRead(_ stamps: [Stamp?]) -> Bool { content == nil || failure != nil || stamps != self.stamps }

    /// The files were looked at and not read.
    mutating func found(now: MonotonicTime) { lookedAt = now }

    /// The files were read; `stamps` are from before, so that what changed meanwhile is seen by the next look.
    mutating func read(_ result: Result<Content, Failure>, _ stamps: [Stamp?], now: MonotonicTime) -> Outcome {
        lookedAt = now
        switch result {
        case .success(let new):
            self.stamps = stamps
            content = new
            failure = nil
            reported = nil
            return .changed(new)
        case .failure(let reason):
            failure = reason
            if let reported, reported.stamps == stamps, reported.failure == reason { return .nothing }
            // Who waits for the first content is told directly.
            guard content != nil else { return .nothing }
            reported = (stamps, reason)
            return .kept(reason)
        }
    }
}
