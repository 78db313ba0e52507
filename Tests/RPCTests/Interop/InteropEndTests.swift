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
            let options = CallOptions(timeout: .milliseconds(20))
            let unary = await failure {
                try await system.control.unary(.init(name: "late", ending: .whenCancelled), options: options)
            }
            #expect(unary?.code == .deadlineExceeded)
            try await system.board.wait(for: .init(name: "late", wasCancelled: true, hasEnded: true))
            let streaming = await failure {
                try await system.control.bidi(options: options) { requests, replies in
                    try await requests.write(
                        .init(name: "late stream", payload: ControlPayload.make(27_182), ending: .whenCancelled))
                    while try await replies.next() != nil {}
                }
            }
            #expect(streaming?.code == .deadlineExceeded)
            try await system.board.wait(for: .init(name: "late stream", wasCancelled: true, hasEnded: true))
        }
    }

    /// A handler that ignores its cancellation keeps its slot, and the caller is told at once.
    @Test(arguments: Setup.all) func aHandlerThatIgnoresCancellationKeepsItsSlot(_ setup: Setup) async throws {
        var limits = RPCLimits()
        limits.streamsMax = 2
        try await ControlSystem.with(setup, limits: limits) { system in
            let options = CallOptions(timeout: .milliseconds(20))
            for name in ["deaf 1", "deaf 2"] {
                let ended = await failure {
                    try await system.control.unary(.init(name: name, ending: .onlyOnSignal), options: options)
                }
                #expect(ended?.code == .deadlineExceeded)
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
