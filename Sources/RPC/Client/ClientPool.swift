internal import Core
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The connections of one client, and the calls that wait for them: carries out what its `PeerTable` decides.
///
/// Connections and timers refer to the pool and the pool to connections, until the client is shut down or dropped. A weak reference
/// instead would make every retain of the objects that calls use several times as slow.
final class ClientPool: Sendable {
    typealias Lease = ConnectionLease<ClientConnection>
    typealias Answer = ConnectionAnswer<ClientConnection>
    typealias Table = PeerTable<ClientConnection, UnsafeContinuation<Answer, Never>>

    private struct State {
        var table: Table
        /// Connections being made. They use the runtime's loops, so a shutdown ends them and waits.
        var attempts = 0
        var connecting: [ObjectIdentifier: ClientConnection] = [:]
        var stopping: [CheckedContinuation<Void, Never>] = []
        var timer: (scheduled: Scheduled<Void>, at: MonotonicTime)?
    }

    private let runtime: RPCRuntime
    private let connector: ChannelConnector
    private let configuration: RPCClient.Configuration
    private let timerLoop: any EventLoop
    private let state: Mutex<State>
    /// Whether a success would give something back to the budget: read without the lock after every call.
    private let isBudgetSpent = Atomic(false)

    init(runtime: RPCRuntime, endpoint: Endpoint, configuration: RPCClient.Configuration) {
        self.runtime = runtime
        self.configuration = configuration
        connector = ChannelConnector(endpoint: endpoint, configuration: configuration)
        timerLoop = runtime.group.next()
        state = Mutex(
            State(
                table: Table(
                    addresses: PeerAddress.known(endpoint), outliers: configuration.outliers,
                    throttling: configuration.throttling)))
    }

    // MARK: Calls

    /// A connection that is ready: one lock, no waiting.
    func ready(_ kind: ConnectionKind) -> Lease? { state.withLock { $0.table.ready(kind) } }

    /// A connection for one attempt, as soon as there is one.
    func acquire(
        _ kind: ConnectionKind, avoiding tried: [PeerID], waitsForReady: Bool, deadline: MonotonicTime?
    ) async -> Answer {
        while true {
            let place: Table.Place
            switch change({ $0.begin(kind, avoiding: tried, now: .now(), &$1) }) {
            case .ready(let lease): return .use(lease)
            case .failed(let failure, let progress): return .failed(failure, progress, nil)
            case .wait(let chosen): place = chosen
            }
            let answer = await withTaskCancellationHandler {
                await withUnsafeContinuation { continuation in
                    change {
                        $0.wait(
                            at: place, kind, continuation, waitsForReady: waitsForReady, deadline: deadline,
                            now: .now(), &$1)
                    }
                }
            } onCancel: {
                change { $0.abandon(place, &$1) }
            }
            state.withLock { $0.table.forget(place) }
            guard case .again = answer else { return answer }
        }
    }

    /// An attempt on a peer has ended. Cheap when that changes nothing: one address and a full budget.
    @inline(__always)
    func succeeded(_ lease: Lease) {
        if lease.isCounted || isBudgetSpent.load(ordering: .relaxed) { settle(lease, nil, .answered) }
    }

    func settle(_ lease: Lease, _ failure: Failure?, _ progress: AttemptProgress) {
        guard lease.isCounted || failure == nil else { return }
        finished(lease.isCounted ? lease.peer : nil, failure, progress)
    }

    func finished(_ peer: PeerID?, _ failure: Failure?, _ progress: AttemptProgress) {
        withTable { table in
            if let peer { table.finished(peer, failure, progress, now: .now()) }
            if failure == nil { table.succeeded() }
        }
    }

    func decide(
        _ retry: inout RetryState, _ failure: Failure, _ progress: AttemptProgress, tried: [PeerID]
    ) -> RetryDecision {
        withTable { $0.decide(&retry, failure, progress, tried: tried, now: .now()) }
    }

    func timerFired(_ call: inout HedgedCall) -> HedgedCall.Action {
        withTable { $0.timerFired(&call, now: .now()) }
    }

    func copyFailed(
        _ call: inout HedgedCall, _ attempt: Int, _ failure: Failure, _ progress: AttemptProgress, tried: [PeerID]
    ) -> HedgedCall.Action {
        withTable { $0.copyFailed(&call, attempt, failure, progress, tried: tried, now: .now()) }
    }

    /// What does not touch connections.
    private func withTable<T>(_ body: (inout Table) -> T) -> T {
        state.withLock { state in
            defer { isBudgetSpent.store(!state.table.budget.isFull, ordering: .relaxed) }
            return body(&state.table)
        }
    }

    // MARK: Events

    /// One event of the table; what follows from it is done outside of the lock.
    @discardableResult
    private func change<T: Sendable>(_ event: (inout Table, inout Table.Effects) -> T) -> T {
        let (result, effects) = state.withLock { state -> (T, Table.Effects) in
            var effects = Table.Effects()
            let result = event(&state.table, &effects)
            state.attempts += effects.connect.count
            arm(&state)
            return (result, effects)
        }
        for close in effects.close {
            close.connection.execute {
                if close.isForced { close.connection.cut() } else { close.connection.shutdown() }
            }
        }
        for attempt in effects.connect { connect(attempt) }
        if effects.resolve { resolve() }
        for (waiter, answer) in effects.answers { waiter.resume(returning: answer) }
        return result
    }

    /// Sets the timer for what waits. One that is early does no harm.
    private func arm(_ state: inout State) {
        guard let due = state.table.nextTimer() else { return }
        if let timer = state.timer {
            guard due < timer.at else { return }
            timer.scheduled.cancel()
        }
        let delay = TimeAmount.nanoseconds(MonotonicTime.now().nanosecondsElapsed(to: due))
        let scheduled = timerLoop.scheduleTask(in: delay) { [self] in
            self.state.withLock { $0.timer = nil }
            change { $0.timerFired(now: .now(), &$1) }
        }
        state.timer = (scheduled, due)
    }

    private func connect(_ attempt: Table.Attempt) {
        let loop = runtime.group.next()
        let connection = ClientConnection(
            limits: configuration.limits, options: configuration.options, loopContext: runtime.context(of: loop),
            loop: loop, credential: configuration.credential,
            idleMsMax: attempt.id.kind == .bulk ? configuration.bulkIdleMs : nil
        ) { [self] event in
            let ending: Table.Slots.Ending =
                switch event {
                case .draining(let failure): .draining(Self.unavailable(failure))
                case .closed(let failure): .lost(Self.unavailable(failure))
                case .exhausted: .exhausted
                case .unused: .unused
                }
            change { $0.ended(attempt.peer, attempt.id, ending, now: .now(), &$1) }
        }
        let isClosed = state.withLock { state -> Bool in
            state.connecting[ObjectIdentifier(connection)] = connection
            return state.table.isClosed
        }
        if isClosed { connection.execute { connection.cut() } }
        // On the loop: otherwise the connection could be made and lost before anybody listens here, and what it was lost of would not be known.
        loop.execute { [self] in
            connector.connect(attempt.address, on: loop, connection).whenComplete { [self] result in
                switch result {
                case .success: change { $0.connected(attempt.peer, attempt.id, connection, now: .now(), &$1) }
                case .failure(let error):
                    let failure = unreachable(attempt.address, error)
                    change { $0.ended(attempt.peer, attempt.id, .lost(failure), now: .now(), &$1) }
                }
                attemptEnded(connection)
            }
        }
    }

    private func attemptEnded(_ connection: ClientConnection) {
        let stopping = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.connecting.removeValue(forKey: ObjectIdentifier(connection))
            state.attempts -= 1
            guard state.attempts == 0 else { return [] }
            defer { state.stopping = [] }
            return state.stopping
        }
        for continuation in stopping { continuation.resume() }
    }

    /// Asks the name service on a thread of its own: it may take seconds.
    private func resolve() {
        let hosts = connector.endpoint.hosts
        NIOThreadPool.singleton.submit { [self] _ in
            do throws(Failure) {
                let addresses = try PeerAddress.resolve(hosts, serviceName: configuration.serviceName)
                change { $0.resolved(addresses, now: .now(), &$1) }
            } catch {
                change { $0.resolutionFailed(error, now: .now(), &$1) }
            }
        }
    }

    private func unreachable(_ address: PeerAddress, _ error: any Error) -> Failure {
        if let failure = error as? Failure { return failure }
        return Failure(
            .unavailable, reason: "UNREACHABLE",
            "Cannot reach \(configuration.serviceName) at \(address.description): \(RPCServer.describe(error)).",
            remedy: "Is it running? `acp up` starts everything; `acp config show` tells which address is used.")
    }

    /// Why a connection ended, as told to calls that find none: to them it was only not there.
    private static func unavailable(_ failure: Failure) -> Failure {
        var failure = failure
        failure.code = .unavailable
        return failure
    }

    // MARK: End

    /// Connections close once calls in flight have ended; later calls, and those that wait for a connection, fail.
    func close() {
        change { $0.shutdown(&$1) }
        let connecting = state.withLock { state in
            state.timer?.scheduled.cancel()
            state.timer = nil
            return Array(state.connecting.values)
        }
        for connection in connecting { connection.execute { connection.cut() } }
    }

    /// For tests: calls that wait for a connection.
    var waitingCount: Int { state.withLock { $0.table.waitingCount } }

    /// Returns when no connection is being made any more.
    func attemptsEnded() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state -> Bool in
                guard state.attempts > 0 else { return true }
                state.stopping.append(continuation)
                return false
            }
            if isIdle { continuation.resume() }
        }
    }
}

/// Told once how a stream ended, for the peer's statistics and the budget.
struct Settlement: Sendable {
    let pool: ClientPool
    let peer: PeerID?

    init(pool: ClientPool, lease: ClientPool.Lease) {
        self.pool = pool
        peer = lease.isCounted ? lease.peer : nil
    }

    func settle(_ failure: Failure?, _ progress: AttemptProgress) { pool.finished(peer, failure, progress) }
}
