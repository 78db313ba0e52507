internal import Core
internal import Logging
internal import Synchronization

/// News about jobs, from this process and from others by Redis, to those who wait for it here.
final class JobEvents: Sendable {
    /// While Redis reports nothing, workers look this often.
    private static let pollMs = 250

    private struct State {
        var watchers: [UUIDv7: [ObjectIdentifier: Signal]] = [:]
        var isConnected = false
        var waiter: RedisWaiter?
        var isStarted = false
    }

    let wakeStream: String
    let changeStream: String
    private let address: RedisAddress?
    private let work = Signal()
    private let state = Mutex(State())

    init(_ address: RedisAddress?, namespace: String) {
        self.address = address
        wakeStream = "\(namespace):jobs:wake"
        changeStream = "\(namespace):jobs:changes"
    }

    var isConnected: Bool { state.withLock { $0.isConnected } }

    func workArrived() { work.set() }

    func waitForWork(_ timeout: Duration) async {
        listen()
        await work.wait(isConnected ? timeout : min(timeout, .milliseconds(Self.pollMs)))
    }

    func changed(_ ids: [UUIDv7]) {
        let signals = state.withLock { state in ids.flatMap { state.watchers[$0]?.values.map { $0 } ?? [] } }
        for signal in signals { signal.set() }
    }

    /// A signal that is set whenever one of these jobs changes, for as long as the subscription lives.
    func watch(_ ids: [UUIDv7]) -> Subscription {
        listen()
        let signal = Signal()
        state.withLock { state in
            for id in ids { state.watchers[id, default: [:]][ObjectIdentifier(signal)] = signal }
        }
        return Subscription(events: self, ids: ids, signal: signal)
    }

    final class Subscription: Sendable {
        let signal: Signal
        private let events: JobEvents
        private let ids: [UUIDv7]

        init(events: JobEvents, ids: [UUIDv7], signal: Signal) {
            self.events = events
            self.ids = ids
            self.signal = signal
        }

        deinit { events.unwatch(ids, signal) }
    }

    private func unwatch(_ ids: [UUIDv7], _ signal: Signal) {
        state.withLock { state in
            for id in ids {
                state.watchers[id]?[ObjectIdentifier(signal)] = nil
                if state.watchers[id]?.isEmpty == true { state.watchers[id] = nil }
            }
        }
    }

    func close() {
        let waiter = state.withLock { state in
            state.isStarted = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.close()
    }

    /// Starts following Redis at first need: a process that never waits needs no thread.
    private func listen() {
        guard let address else { return }
        let starts = state.withLock { state in
            defer { state.isStarted = true }
            return !state.isStarted
        }
        guard starts else { return }
        do {
            let waiter = try RedisWaiter(address, streams: [wakeStream, changeStream]) { [weak self] in
                self?.received($0)
            }
            state.withLock { $0.waiter = waiter }
        } catch {
            Logger(label: "acp.jobs").warning("jobs are polled only", metadata: ["error": "\(error)"])
        }
    }

    private func received(_ event: RedisWaiter.Event) {
        switch event {
        case .connected:
            let signals = state.withLock { state in
                state.isConnected = true
                return state.watchers.values.flatMap { $0.values }
            }
            // Whatever happened meanwhile was missed: everyone looks once.
            work.set()
            for signal in signals { signal.set() }
        case .disconnected:
            state.withLock { $0.isConnected = false }
            work.set()
        case .entry(wakeStream, _):
            work.set()
        case .entry(_, let fields):
            guard fields.count == 2 else { return }
            changed(String(decoding: fields[1], as: UTF8.self).split(separator: ",").compactMap { UUIDv7($0) })
        }
    }
}

/// A flag that tasks can wait for. Setting it lets every waiting task go on, or the next one when none waits.
final class Signal: Sendable {
    private struct State {
        var isSet = false
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var lastID: UInt64 = 0
        /// Between the beginning and the end of their wait; true once released before they were registered.
        var isReleased: [UInt64: Bool] = [:]
    }

    private let state = Mutex(State())

    func set() {
        let waiters = state.withLock { state in
            defer { state.waiters = [:] }
            state.isSet = state.waiters.isEmpty
            return state.waiters.values.map { $0 }
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns when the flag is or gets set (and clears it), when `timeout` passes, or when the task is cancelled.
    func wait(_ timeout: Duration) async {
        let id = state.withLock { state in
            state.lastID += 1
            state.isReleased[state.lastID] = false
            return state.lastID
        }
        let timer = Task { [weak self] in
            try await Task.sleep(for: timeout)
            self?.release(id)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if state.isReleased[id] == true { return true }
                    if state.isSet {
                        state.isSet = false
                        return true
                    }
                    state.waiters[id] = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            release(id)
        }
        timer.cancel()
        state.withLock { $0.isReleased[id] = nil }
    }

    private func release(_ id: UInt64) {
        let waiter = state.withLock { state in
            if state.isReleased[id] != nil { state.isReleased[id] = true }
            return state.waiters.removeValue(forKey: id)
        }
        waiter?.resume()
    }
}
