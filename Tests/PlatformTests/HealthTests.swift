import Core
import Platform
import Synchronization
import Testing

@Suite struct HealthTests {
    @Test func allWellIs200() async {
        let registry = HealthRegistry(service: "ingest")
        registry.register(HealthCheck("loop", .liveness) {})
        registry.register(HealthCheck("postgresql") {})
        let live = await registry.liveness()
        let ready = await registry.readiness()
        #expect(live.results.map(\.name) == ["loop"])
        #expect(ready.results.map(\.name) == ["loop", "postgresql"])
        #expect(live.httpStatus == 200 && ready.httpStatus == 200)
        #expect(ready.failure == nil)
        #expect(
            ready.json.hasPrefix(
                #"{"status":"ok","service":"ingest","version":"\#(BuildInformation.version)","checks":[{"name":"loop","status":"ok","duration_ms":"#
            ))
    }

    @Test func aFailingDependencyIsNamedWithItsCause() async {
        struct Stranger: Error { var password = "hunter2" }
        let registry = HealthRegistry(service: "ingest")
        registry.register(
            HealthCheck("postgresql") { throw Failure(.unavailable, "Connection refused.", remedy: "Start it.") })
        registry.register(HealthCheck("redis") { throw Stranger() })
        let ready = await registry.readiness()
        #expect(ready.httpStatus == 503)
        #expect(ready.results[0].cause == "Connection refused. Start it.")
        #expect(ready.results[1].cause == "unexpected Stranger")
        #expect(
            ready.json.contains(#"{"name":"postgresql","status":"failing","cause":"Connection refused. Start it.""#))
        #expect(ready.failure?.message == "ingest is not ready: postgresql: Connection refused. Start it.")
        // Liveness does not depend on others: restarting would not help.
        #expect(await registry.liveness().httpStatus == 200)
    }

    @Test func aProbeThatHangsTimesOutAndIsNotPiledUpOn() async {
        let registry = HealthRegistry(service: "agents")
        let probes = Atomic<Int>(0)
        let gate = AsyncGate()
        registry.register(
            HealthCheck("stuck", timeout: .milliseconds(20), cacheFor: .zero) {
                probes.wrappingAdd(1, ordering: .relaxed)
                // Ignores its cancellation, as a blocked library call would.
                await gate.wait()
            })
        #expect(await registry.readiness().results[0].cause?.hasPrefix("no answer within") == true)
        #expect(await registry.readiness().results[0].cause == "an earlier probe still gets no answer")
        #expect(probes.load(ordering: .relaxed) == 1)
        gate.open()
    }

    @Test func answersAreCachedAndSharedByConcurrentCallers() async {
        let registry = HealthRegistry(service: "agents")
        let probes = Atomic<Int>(0)
        registry.register(
            HealthCheck("counted", timeout: .seconds(60), cacheFor: .seconds(3600)) {
                probes.wrappingAdd(1, ordering: .relaxed)
            })
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<20 { group.addTask { _ = await registry.readiness() } }
        }
        _ = await registry.readiness()
        #expect(probes.load(ordering: .relaxed) == 1)
    }

    @Test func withoutCachingARecoveryIsSeenAtOnce() async {
        let registry = HealthRegistry(service: "agents")
        let isUp = Atomic<Bool>(false)
        registry.register(
            HealthCheck("flapping", cacheFor: .zero) {
                if !isUp.load(ordering: .relaxed) { throw Failure(.unavailable, "down") }
            })
        #expect(await registry.readiness().httpStatus == 503)
        isUp.store(true, ordering: .relaxed)
        #expect(await registry.readiness().httpStatus == 200)
    }

    @Test func drainingIsNotReadyButAlive() async {
        let registry = HealthRegistry(service: "gateway")
        registry.beginDraining()
        let ready = await registry.readiness()
        #expect(ready.httpStatus == 503)
        #expect(ready.json.contains(#""status":"draining""#))
        #expect(await registry.liveness().httpStatus == 200)
    }
}

/// Something that tasks wait for, cancelled or not.
final class AsyncGate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiters: [CheckedContinuation<Void, Never>])>((false, []))

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiters = state.withLock { state in
            defer { state = (true, []) }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
