import Core
import NIOCore
import NIOEmbedded

@testable import RPC

/// A channel with a real end of a connection in it.
final class SimulatedLinkEnd {
    private let loop: EmbeddedEventLoop
    private let socket = SimulatedSocket()
    private let channel: EmbeddedChannel
    private var isOutputClosed = false
    var isClosed: Bool { !channel.isActive }

    init(_ connection: Connection, loop: EmbeddedEventLoop, out: SimulatedPipe, in pipe: SimulatedPipe) throws {
        self.loop = loop
        channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandler(socket)
        try channel.pipeline.syncOperations.addHandler(connection)
        pipe.target = self
        socket.onWrite = { out.write($0, $1) }
        socket.onRead = { [loop] in loop.execute { pipe.handOver() } }
        socket.onClose = { [unowned self] in
            guard !isOutputClosed else { return }
            isOutputClosed = true
            out.close()
        }
    }

    func connect() throws {
        channel.connect(to: try SocketAddress(unixDomainSocketPath: "/simulated"), promise: nil)
    }

    var wantsRead: Bool { socket.wantsRead && channel.isActive }

    func receive(_ bytes: ByteBuffer) {
        guard channel.isActive else { return }
        socket.willRead()
        channel.pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
        channel.pipeline.syncOperations.fireChannelReadComplete()
        if channel.isActive { channel.pipeline.syncOperations.read() }
    }

    /// The other end has closed, or the connection is lost.
    func end() {
        if channel.isActive { channel.close(promise: nil) }
    }
}

/// A simulated connection: a real client's end, a real server's end, and the network between them.
final class SimulatedLink {
    let client: ClientConnection
    let server: ServerConnection
    private let toServer: SimulatedPipe
    private let toClient: SimulatedPipe
    private let clientEnd: SimulatedLinkEnd
    private let serverEnd: SimulatedLinkEnd
    let fault: SimulationPlan.Fault
    private let loop: EmbeddedEventLoop
    /// The fault has happened, or the end of the simulation.
    private(set) var isBroken = false
    private(set) var isDraining = false

    init(
        _ index: Int, _ plan: SimulationPlan, shared: RPCServer.Shared, on embedded: EmbeddedLoop,
        random: inout SeededGenerator, trace: SimulationTrace
    ) throws {
        fault = plan.faults[index]
        loop = embedded.loop
        client = ClientConnection(
            limits: plan.clientLimits, options: plan.clientOptions, loopContext: embedded.context, loop: loop,
            credential: "", onEvent: { _ in })
        server = ServerConnection(
            server: shared, loopContext: embedded.context, loop: loop, peerAddress: "simulated")
        shared.connections.insert(server)
        toServer = SimulatedPipe(
            "\(index)→", loop: loop, network: plan.network, seed: random.next(), trace: trace, prefaceExpected: true)
        toClient = SimulatedPipe(
            "\(index)←", loop: loop, network: plan.network, seed: random.next(), trace: trace, prefaceExpected: false)
        if case .damage(let frame) = fault {
            if random.oneIn(2) { toServer.damagedFrame = frame } else { toClient.damagedFrame = frame }
        }
        clientEnd = try SimulatedLinkEnd(client, loop: loop, out: toServer, in: toClient)
        serverEnd = try SimulatedLinkEnd(server, loop: loop, out: toClient, in: toServer)
        try serverEnd.connect()
        try clientEnd.connect()
    }

    /// Whether frames may be damaged: then the checksum decides what calls see.
    var damages: Bool {
        if case .damage = fault { return true }
        return false
    }

    var stalls: Bool {
        if case .stall = fault { return true }
        return false
    }

    private func after(_ ms: Int64, _ body: @escaping () -> Void) {
        loop.scheduleTask(in: .milliseconds(ms)) { body() }
    }

    /// - Parameter onBreak: the connection breaks now.
    func scheduleFault(onBreak: @escaping () -> Void) {
        switch fault {
        case .none, .damage: break
        case .cut(let ms, let truncates): after(ms) { self.cut(truncates: truncates, onBreak) }
        case .blackHole(let ms):
            after(ms) {
                self.isBroken = true
                self.toServer.stall()
                self.toClient.stall()
            }
        case .stall(let ms, let forMs):
            after(ms) { self.toClient.stall() }
            after(ms + forMs) { self.toClient.goOn() }
        case .drain(let ms):
            after(ms) {
                self.isDraining = true
                self.server.drain()
            }
        case .shutdown(let ms):
            after(ms) {
                self.isDraining = true
                self.client.shutdown()
            }
        }
    }

    func cut(truncates: Bool, _ onBreak: () -> Void) {
        isBroken = true
        onBreak()
        toServer.cut(truncates: truncates)
        toClient.cut(truncates: truncates)
    }

    var isOver: Bool { clientEnd.isClosed && serverEnd.isClosed }
}
