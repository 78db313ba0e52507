import Core
import RPC
import TestProtos
import Testing

/// gRPC's interoperability test descriptions for calls that end before they are done: cancellation, deadline, drain.
@Suite(.timeLimit(.minutes(1))) struct InteropEndTests {
    typealias Setup = ControlSystem.Setup

    @Test(arguments: Setup.all) func cancelAfterBegin(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let call = Task {
                try await system.control.clientStream { requests in
                    try await requests.write(.init(name: "begun"))
                    try await system.board.waitForCancellation()
                }
            }
            try await system.board.wait(for: .init(name: "begun", messagesReadMin: 1))
            call.cancel()
            let ended = await failure { try await call.value }
            #expect(ended?.code == .cancelled)
            try await system.board.wait(for: .init(name: "begun", wasCancelled: true, hasEnded: true))
            #expect(try await system.control.unary(TestControlRequest()).seen?.messages == 1)
        }
    }

    @Test(arguments: Setup.all) func cancelOfAUnaryCallThatIsNeverAnswered(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let call = Task { try await system.control.unary(.init(name: "held", ending: .whenCancelled)) }
            try await system.board.wait(for: .init(name: "held", hasStarted: true))
            call.cancel()
            let ended = await failure { try await call.value }
            #expect(ended?.code == .cancelled)
            try await system.board.wait(for: .init(name: "held", wasCancelled: true, hasEnded: true))
        }
    }

    @Test(arguments: Setup.all) func cancelAfterFirstResponse(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let call = Task {
                try await system.control.bidi { requests, replies in
                    try await requests.write(
                        .init(
                            name: "first", payload: ControlPayload.make(27_182),
                            replies: [.init(count: 1, sizeBytes: 31_415)]))
                    #expect(try await replies.next()?.payload.count == 31_415)
                    system.board.signal("answered")
                    while try await replies.next() != nil {}
                }
            }
            try await system.board.wait(forSignal: "answered")
            call.cancel()
            let ended = await failure { try await call.value }
            #expect(ended?.code == .cancelled)
            try await system.board.wait(for: .init(name: "first", wasCancelled: true, hasEnded: true))
        }
    }

    /// Who drops a reader has cancelled the call.
    @Test(arguments: Setup.all) func aReaderThatIsDroppedCancels(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            do {
                let replies = try await system.control.serverStream(
                    .init(name: "dropped", replies: [.init(count: 1)], ending: .whenCancelled))
                _ = try await replies.next()
            }
            try await system.board.wait(for: .init(name: "dropped", wasCancelled: true, hasEnded: true))
        }
    }

    @Test(arguments: Setup.all) func timeoutOnASleepingServer(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            try await expectDeadline(system, "unary") { request, options in
                _ = try await system.control.unary(request, options: options)
            }
            try await expectDeadline(system, "stream") { request, options in
                try await system.control.bidi(options: options) { requests, replies in
                    try await requests.write(request)
                    while try await replies.next() != nil {}
                }
            }
        }
    }

    /// A call that is never answered ends at its deadline, here and in its handler. On a busy machine the deadline may pass
    /// before the server has the call: then it is made again with more time.
    private func expectDeadline(
        _ system: ControlSystem, _ kind: String, _ call: (TestControlRequest, CallOptions) async throws -> Void
    ) async throws {
        var name = ""
        var milliseconds: Int64 = 20
        repeat {
            name = "\(kind) \(milliseconds)"
            let options = CallOptions(timeout: .milliseconds(milliseconds))
            let ended = await failure {
                try await call(
                    .init(name: name, payload: ControlPayload.make(27_182), ending: .whenCancelled), options)
            }
            #expect(ended?.code == .deadlineExceeded)
            // Whatever was sent before has arrived when this has its answer.
            try await call(TestControlRequest(reading: .first), CallOptions())
            milliseconds *= 2
        } while !system.board.progress(of: name).hasStarted && milliseconds < 10_000
        try await system.board.wait(for: .init(name: name, wasCancelled: true, hasEnded: true))
    }

    /// A handler that ignores its cancellation keeps its slot, and the caller is told at once.
    @Test(arguments: Setup.all) func aHandlerThatIgnoresCancellationKeepsItsSlot(_ setup: Setup) async throws {
        var limits = RPCLimits()
        limits.streamsMax = 2
        try await ControlSystem.with(setup, limits: limits) { system in
            for name in ["deaf 1", "deaf 2"] {
                let call = Task { try await system.control.unary(.init(name: name, ending: .onlyOnSignal)) }
                try await system.board.wait(for: .init(name: name, hasStarted: true))
                call.cancel()
                let ended = await failure { try await call.value }
                #expect(ended?.code == .cancelled)
            }
            let refused = await failure {
                try await system.control.unary(TestControlRequest(), options: CallOptions(timeout: .milliseconds(50)))
            }
            // A client may also wait for the slot until its deadline.
            #expect([.unavailable, .deadlineExceeded].contains(refused?.code))
            for name in ["deaf 1", "deaf 2"] {
                system.board.signal(name)
                try await system.board.wait(for: .init(name: name, wasCancelled: true, hasEnded: true))
            }
            #expect(try await system.control.unary(TestControlRequest()).seen?.messages == 1)
        }
    }

    /// What is in flight when the server drains ends well.
    @Test(arguments: Setup.all) func callsInFlightFinishWhileTheServerDrains(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let call = Task {
                try await system.control.unary(
                    .init(name: "in flight", replies: [.init(count: 1, sizeBytes: 7, signal: "go on")]))
            }
            try await system.board.wait(for: .init(name: "in flight", hasStarted: true))
            _ = try await system.control.drain(TestControlName())
            system.board.signal("go on")
            #expect(try await call.value.payload.count == 7)
        }
    }
}
