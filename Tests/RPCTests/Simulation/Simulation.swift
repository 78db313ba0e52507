import Core
import NIOCore
import NIOEmbedded

@testable import RPC

/// One run: real ends of connections over a simulated network in simulated time, on one thread. Everything comes from the seed.
final class Simulation {
    let seed: UInt64
    let plan: SimulationPlan
    let trace: SimulationTrace
    private let embedded: EmbeddedLoop
    private let service: SimulatedService
    private let shared: RPCServer.Shared
    private var links: [SimulatedLink] = []
    private var calls: [SimulatedCall] = []
    private(set) var problems: [String] = []

    private static let tickMs = Int64(DeadlineWheel.tickMs)

    init(seed: UInt64, linesMax: Int = 0) throws {
        self.seed = seed
        plan = SimulationPlan(seed: seed)
        trace = SimulationTrace(linesMax: linesMax)
        embedded = EmbeddedLoop(seed: seed)
        service = SimulatedService(loop: embedded.loop, limitedMax: plan.limitedMax)
        var configuration = RPCServer.Configuration()
        configuration.limits = plan.serverLimits
        configuration.options = plan.serverOptions
        configuration.concurrency = [
            "/sim.Control/limited": ConcurrencyLimit(runningMax: plan.limitedMax, waitingMax: 4, waitTargetMs: 50)
        ]
        shared = RPCServer.Shared(router: service.router, configuration: configuration)
        var random = SeededGenerator(seed: seed ^ 0x5DEE_CE66)
        for index in plan.faults.indices {
            links.append(
                try SimulatedLink(index, plan, shared: shared, on: embedded, random: &random, trace: trace))
        }
        for index in 0..<plan.callCount {
            let script = CallScript(id: UInt32(index + 1), links: links.count, random: &random)
            calls.append(
                SimulatedCall(script, over: links[script.link], on: embedded) { [unowned self] in ended($0) })
        }
    }

    private func check(_ isRight: Bool, _ problem: @autoclosure () -> String) {
        guard !isRight else { return }
        problems.append("at \(embedded.loop.now.uptimeNanoseconds / 1_000_000) ms: \(problem())")
    }

    /// Runs to the end.
    func run() {
        for link in links {
            link.scheduleFault { [unowned self, unowned link] in connectionBroke(link) }
        }
        for call in calls {
            call.schedule()
            if let timeout = call.script.timeoutMs { watch(call, timeout) }
        }
        // Longer than any call: what is left then hangs.
        for _ in 0..<6000 {
            embedded.pass(milliseconds: 100)
            watchServers()
            if calls.allSatisfy(\.isOver) { break }
        }
        for call in calls { check(call.isOver, "call \(call.script.id) has not ended: \(call.script)") }
        settle()
        tearDown()
        problems += service.problems + calls.flatMap(\.problems)
    }

    private func ended(_ call: SimulatedCall) {
        let code = call.failure?.code.rawValue ?? 0
        trace.note(
            embedded.loop.now.uptimeNanoseconds,
            "call \(call.script.id) ends: \(call.failure.map { "\($0.code) \($0.reason)" } ?? "OK")",
            7, UInt64(call.script.id), UInt64(code))
    }

    // MARK: Deadlines

    /// No call outlives its deadline by more than one tick.
    private func watch(_ call: SimulatedCall, _ timeoutMs: Int64) {
        let lastMs = call.script.startMs + timeoutMs + Self.tickMs
        embedded.loop.scheduleTask(in: .nanoseconds(lastMs * 1_000_000 + 1)) { [self] in
            check(!call.stream.isOpen, "call \(call.script.id) outlives its deadline")
        }
    }

    private func watchServers() {
        let tick = Duration.milliseconds(Self.tickMs)
        for link in links {
            for case let stream as ServerStream in link.server.openStreams where stream.isOpen {
                guard let deadline = stream.call.deadline else { continue }
                check(
                    embedded.now <= deadline.advanced(by: tick),
                    "stream \(stream.id) outlives its deadline on the server")
            }
        }
    }

    // MARK: Losses

    /// Every call that is open when its connection is lost fails UNAVAILABLE.
    private func connectionBroke(_ link: SimulatedLink) {
        let open = calls.filter {
            $0.script.link == links.firstIndex { $0 === link } && $0.hasStarted && $0.stream.isOpen
        }
        embedded.loop.execute { [self] in
            for call in open {
                check(!call.stream.isOpen, "call \(call.script.id) goes on without a connection")
                // What the last bytes said may still have ended it.
                guard let failure = call.stream.failure, call.failure?.reason != "SCRIPT" else { continue }
                check(
                    failure.code == .unavailable || call.wasCancelled || failure.code == .deadlineExceeded
                        || failure.reason == Failure.tooLarge || failure.reason == "SCRIPT",
                    "call \(call.script.id) lost its connection and ended with \(failure.code)")
            }
        }
    }

    // MARK: Afterwards

    /// What must hold once all calls have ended and handlers had time to return.
    private func settle() {
        embedded.pass(milliseconds: 1000)
        // What is stalled or was lost goes on or ends first.
        embedded.pass(milliseconds: 45_000)
        check(service.running == 0, "\(service.running) handlers run although no call is open")
        if let load = shared.gate(of: shared.router.entries[1])?.load {
            check(load == (0, 0), "the limited method has calls: \(load)")
        }
        check(embedded.context.deadlines.count == 0, "\(embedded.context.deadlines.count) deadlines are left")
        for link in links {
            check(link.client.openStreamCount == 0, "the client has \(link.client.openStreamCount) streams")
            check(link.server.openStreamCount == 0, "the server has \(link.server.openStreamCount) streams")
            if case .blackHole = link.fault { check(link.isOver, "a half-open connection is not given up") }
            if link.isDraining { check(link.isOver, "a drained connection is not closed") }
            if !link.isOver { check(link: link) }
        }
    }

    /// A connection that is idle has all its windows.
    private func check(link: SimulatedLink) {
        for (sender, receiver, name) in [
            (link.client as Connection, link.server as Connection, "client's"), (link.server, link.client, "server's"),
        ] {
            let receive = receiver.connectionReceiveWindow
            check(receive.available >= 0, "the \(name) peer let \(-receive.available) bytes too many pass")
            check(receive.isWhole, "credit for the \(name) bytes is lost: \(receive)")
            check(
                sender.connectionSendWindow.available == receive.available,
                "the \(name) window is \(sender.connectionSendWindow.available), its peer's \(receive.available)")
            check(sender.round.isEmpty, "the \(name) round has streams")
            check(sender.unsentBytes == 0, "the \(name) \(sender.unsentBytes) bytes are not sent")
        }
    }

    private func tearDown() {
        for link in links where !link.isOver { link.cut(truncates: false) {} }
        embedded.pass(milliseconds: 1000)
        check(service.running == 0, "\(service.running) handlers run without a connection")
        check(shared.connections.isEmpty, "\(shared.connections.count) connections are left")
    }
}
