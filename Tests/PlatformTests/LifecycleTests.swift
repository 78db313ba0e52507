import Core
import Glibc
import Platform
import Synchronization
import Testing

/// What happened, in order.
private final class Transcript: Sendable {
    private let lines = Mutex<[String]>([])
    func note(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

@Suite struct LifecycleTests {
    private func component(_ name: String, _ transcript: Transcript) -> Lifecycle.Component {
        Lifecycle.Component(name) {
            transcript.note("start \(name)")
        } stop: {
            transcript.note("stop \(name)")
        }
    }

    @Test func startsInOrderAndStopsInReverse() async throws {
        let transcript = Transcript()
        let lifecycle = Lifecycle()
        for name in ["database", "service", "server"] { lifecycle.add(component(name, transcript)) }
        try await lifecycle.start()
        #expect(await lifecycle.stop() == [])
        #expect(await lifecycle.stop() == [])
        #expect(
            transcript.all == [
                "start database", "start service", "start server", "stop server", "stop service", "stop database",
            ])
    }

    @Test func aFailedStartStopsWhatWasStarted() async throws {
        let transcript = Transcript()
        let lifecycle = Lifecycle()
        lifecycle.add(component("database", transcript))
        lifecycle.add(
            .init("service") {
                throw Failure(.unavailable, "no")
            } stop: {
                transcript.note("stop service")
            })
        lifecycle.add(component("server", transcript))
        await #expect(throws: Failure.self) { try await lifecycle.start() }
        #expect(transcript.all == ["start database", "stop service", "stop database"])
    }

    @Test func aPartThatDoesNotStopIsNamedAndTheOthersStillStop() async throws {
        let transcript = Transcript()
        let gate = AsyncGate()
        let lifecycle = Lifecycle(stopLimit: .seconds(30))
        lifecycle.add(component("database", transcript))
        lifecycle.add(.init("stuck", stopLimit: .milliseconds(50), stop: { await gate.wait() }))
        lifecycle.add(.init("broken", stop: { throw Failure(.internalError, "disk on fire") }))
        try await lifecycle.start()
        let problems = await lifecycle.stop()
        #expect(problems.map(\.component) == ["broken", "stuck"])
        #expect(problems.first?.cause == "disk on fire")
        #expect(transcript.all == ["start database", "stop database"])
        gate.open()
    }

    @Test func theWholeStopIsBounded() async throws {
        let gate = AsyncGate()
        let lifecycle = Lifecycle(stopLimit: .milliseconds(100))
        for index in 0..<4 { lifecycle.add(.init("stuck \(index)", stop: { await gate.wait() })) }
        try await lifecycle.start()
        let start = MonotonicTime.now()
        #expect(await lifecycle.stop().count == 4)
        // The bound and the moment that each of the others gets; far below four separate limits of 10 s.
        #expect(start.duration(to: .now()) < .seconds(30))
        gate.open()
    }

    @Test func runStopsWhenAskedTo() async throws {
        let transcript = Transcript()
        let signal = ShutdownSignal()
        let lifecycle = Lifecycle()
        lifecycle.add(component("server", transcript))
        let problems = try await lifecycle.run(until: signal) {
            transcript.note("ready")
            signal.request()
        }
        #expect(problems == [])
        #expect(signal.isRequested)
        #expect(transcript.all == ["start server", "ready", "stop server"])
    }

    @Test func aSignalDuringTheStartStopsWithoutAnError() async throws {
        let transcript = Transcript()
        let signal = ShutdownSignal()
        let lifecycle = Lifecycle()
        lifecycle.add(component("database", transcript))
        lifecycle.add(
            .init("slow") {
                signal.request()
                try await Task.sleep(for: .seconds(600))
            } stop: {
                // A clean-up that awaits must not see the start's cancellation.
                try await Task.sleep(for: .milliseconds(1))
                transcript.note("stop slow")
            })
        lifecycle.add(component("never", transcript))
        _ = try await lifecycle.run(until: signal) { transcript.note("ready") }
        #expect(transcript.all == ["start database", "stop slow", "stop database"])
    }

    @Test func waitingEndsWithTheTask() async {
        let signal = ShutdownSignal()
        let task = Task { await signal.wait() }
        task.cancel()
        #expect(await task.value == nil)
    }

    @Test func aSignalSentToTheProcessArrives() async {
        ShutdownSignal.install()
        kill(getpid(), SIGTERM)
        #expect(await ShutdownSignal.shared.wait() == SIGTERM)
        #expect(await ShutdownSignal.shared.wait() == SIGTERM)
    }
}
