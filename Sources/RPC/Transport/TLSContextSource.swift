internal import Core
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// The TLS of one end, read from files and read again when they change.
///
/// Files are looked at when a connection begins, at most every `checkSeconds`, on a thread that may block; that connection waits for the
/// answer, so that what was put there is in use from the next connection on.
final class TLSContextSource: Sendable {
    /// What the files gave.
    struct Loaded: Sendable {
        let context: NIOSSLContext
        /// Who the own certificate is for and until when; nil when there is none.
        var certificate: (name: String, expires: String)?
        /// The file of the key, when every user may read it.
        var exposedKeyPath: String?
    }

    typealias Receiver = @Sendable (Result<NIOSSLContext, Failure>) -> Void

    private typealias Rotation = TLSRotation<Loaded, TLSFiles.Stamp>

    private struct State {
        var rotation: Rotation
        /// nil unless files are being looked at.
        var waiting: [Receiver]?

        /// Takes what a look brought; `result` is nil when nothing had to be read.
        mutating func settle(_ result: Result<Loaded, Failure>?, _ stamps: [TLSFiles.Stamp?]) -> (
            Rotation.Outcome, [Receiver], Result<NIOSSLContext, Failure>
        ) {
            var outcome = Rotation.Outcome.nothing
            if let result {
                outcome = rotation.read(result, stamps, now: .now())
            } else {
                rotation.found(now: .now())
            }
            let receivers = waiting ?? []
            waiting = nil
            if let content = rotation.content { return (outcome, receivers, .success(content.context)) }
            guard let failure = rotation.failure else { preconditionFailure("files that are not in use were read") }
            return (outcome, receivers, .failure(failure))
        }
    }

    private let paths: [String]
    private let load: @Sendable () throws(Failure) -> Loaded
    private let report: @Sendable (TLSEvent) -> Void
    private let state: Mutex<State>

    init(
        paths: [String], checkSeconds: Int, report: @escaping @Sendable (TLSEvent) -> Void = { _ in },
        load: @escaping @Sendable () throws(Failure) -> Loaded
    ) {
        self.paths = paths
        self.load = load
        self.report = report
        state = Mutex(State(rotation: Rotation(checkSeconds: checkSeconds)))
    }

    /// Hands the context of a connection that begins now to `receiver`: at once when the files were looked at a moment ago,
    /// otherwise later and from another thread.
    func use(_ receiver: @escaping Receiver) {
        let (fresh, mustLook) = state.withLock { state -> (NIOSSLContext?, Bool) in
            if state.rotation.isFresh(now: .now()) { return (state.rotation.content?.context, false) }
            defer { state.waiting = (state.waiting ?? []) + [receiver] }
            return (nil, state.waiting == nil)
        }
        if let fresh { return receiver(.success(fresh)) }
        if mustLook { NIOThreadPool.singleton.submit { _ in self.look() } }
    }

    /// The same as a future of `loop`.
    func context(on loop: any EventLoop) -> EventLoopFuture<NIOSSLContext> {
        let promise = loop.makePromise(of: NIOSSLContext.self)
        use { promise.completeWith($0.mapError { $0 as any Error }) }
        return promise.futureResult
    }

    /// Looks at the files now.
    /// - Throws: `Failure` when what they hold cannot be used; what was in use stays so.
    func reload() async throws {
        // A look that began before the files changed would miss it.
        if state.withLock({ $0.waiting != nil }) { await look() }
        await look()
        if let failure = state.withLock({ $0.rotation.failure }) { throw failure }
    }

    private func look() async {
        state.withLock { $0.rotation.expire() }
        await withCheckedContinuation { continuation in use { _ in continuation.resume() } }
    }

    /// Reads what has changed. Blocking.
    private func look() {
        let stamps = paths.map { TLSFiles.Stamp($0) }
        var result: Result<Loaded, Failure>?
        if state.withLock({ $0.rotation.mustRead(stamps) }) {
            do throws(Failure) { result = .success(try load()) } catch { result = .failure(error) }
        }
        let (outcome, receivers, answer) = state.withLock { $0.settle(result, stamps) }
        switch outcome {
        case .nothing: break
        case .kept(let failure): report(.kept(failure))
        case .changed(let loaded):
            if let certificate = loaded.certificate {
                report(.loaded(certificate: certificate.name, expires: certificate.expires))
            }
            if let path = loaded.exposedKeyPath { report(.exposedKey(path: path)) }
        }
        for receiver in receivers { receiver(answer) }
    }
}
