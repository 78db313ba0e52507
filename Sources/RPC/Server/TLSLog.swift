internal import Core
internal import Logging
internal import Synchronization

/// Writes what happens to the encryption of a port. Whoever can reach the port can make handshakes fail: those get one line a second.
final class TLSLog: Sendable {
    private struct State {
        var loggedAt: MonotonicTime?
        /// Failed handshakes since then that got no line.
        var silent = 0
    }

    private static let handshakeLinesPerSecondMax: Int64 = 1

    private let logger: Logger
    private let state = Mutex(State())

    init(logger: Logger) { self.logger = logger }

    func log(_ event: TLSEvent) {
        switch event {
        case .loaded(let certificate, let expires):
            logger.info("certificate loaded", metadata: ["certificate": "\(certificate)", "expires": "\(expires)"])
        case .kept(let failure):
            logger.error(
                "changed certificate files cannot be used, the old ones serve on",
                metadata: ["reason": "\(failure.reason)", "cause": "\(failure.message)", "remedy": "\(failure.remedy)"])
        case .exposedKey(let path):
            logger.warning("the private key can be read by every user", metadata: ["path": "\(path)"])
        case .handshakeFailed(let peer, let failure): handshakeFailed(peer, failure)
        }
    }

    private func handshakeFailed(_ peer: String, _ failure: Failure) {
        let silent = state.withLock { state -> Int? in
            let now = MonotonicTime.now()
            if let last = state.loggedAt,
                last.nanosecondsElapsed(to: now) < 1_000_000_000 / Self.handshakeLinesPerSecondMax
            {
                state.silent += 1
                return nil
            }
            defer { state = State(loggedAt: now) }
            return state.silent
        }
        guard let silent else { return }
        logger.info(
            "TLS handshake failed",
            metadata: [
                "peer": "\(peer)", "reason": "\(failure.reason)", "cause": "\(failure.message)",
                "others": "\(silent)",
            ])
    }
}
