import Core
import NIOCore
import Testing

@testable import RPC

/// A handler's tasks that wait for the call, one of which is cancelled: the others go on as if nothing had been. On a simulated loop.
@Suite struct CancelledWaitTests {
    /// What the tasks of the handler were told. Confined to the loop.
    private final class Told: @unchecked Sendable {
        /// By task, in the order in which they ended.
        var failures: [(task: String, failure: Failure?)] = []
        var read: [Int] = []

        func run(_ task: String, _ body: () async throws -> Void) async {
            do {
                try await body()
                failures.append((task, nil))
            } catch { failures.append((task, Failure(wrapping: error))) }
        }

        func ended(_ task: String) -> Failure?? { failures.first { $0.task == task }.map { .some($0.failure) } ?? nil }
    }

    private static func server(
        _ handler:
            @escaping @Sendable (RequestReader<RawMessage>, ResponseWriter<RawMessage>) async throws -> Void
    ) throws -> EmbeddedEnd<ServerConnection> {
        var router = ServiceRouter()
        router.bidirectional(EmbeddedService.chat) {
            (requests: RequestReader<RawMessage>, replies: ResponseWriter<RawMessage>, _) in
            try await handler(requests, replies)
        }
        let end = try EmbeddedEnd.server(RPCServer.Configuration(), router: router)
        end.receive(.request(1, EmbeddedService.chat.path, flags: .noMessage))
        return end
    }

    private static let window = RPCLimits().streamWindowBytes

    private func payload(_ frames: [WireFrame]) -> Int {
        frames.filter { $0.type == .data }.reduce(0) { $0 + $1.payload.count }
    }

    @Test func aWriterCancelledHalfWayIsToldAndNobodyElseNotices() throws {
        let told = Told()
        let end = try Self.server { requests, replies in
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await told.run("writer") { try await replies.write(bytes(Self.window + 100_000)) } }
                _ = try? await requests.next()
                group.cancelAll()
            }
            // The group has ended: a writer that nobody woke would hold it for ever.
            await told.run("reader") {
                while let request = try await requests.next() { told.read.append(request.bytes.readableBytes) }
            }
        }
        #expect(payload(try end.sent()) == Self.window)
        #expect(told.failures.isEmpty)
        end.receive(.data(1, 1))
        #expect(told.ended("writer")??.code == .cancelled)
        end.receive(.data(1, 7))
        #expect(told.read == [7], "the reader goes on")
        #expect(try end.sent().isEmpty, "nothing was said to the peer")
        end.receive(.data(1, 0, [.endStream, .noMessage]))
        #expect(told.failures.count == 2 && told.failures[1].failure == nil)
        // The handler has returned well, in the middle of a message: the rest comes before its status.
        #expect(try end.sent().isEmpty)
        #expect(end.connection.openStreamCount == 1, "the place of the call is taken until then")
        end.receive(.window(1, 100_000))
        let frames = try end.sent()
        #expect(payload(frames) == 100_000)
        #expect(frames.dropLast().last?.flags.contains(.endMessage) == true)
        #expect(frames.last?.type == .status)
        #expect(try frames.last?.statusMeta?.failure == nil)
        #expect(end.connection.openStreamCount == 0)
    }

    @Test func whatIsNotBegunIsNotSentAndWhatStandsBehindItIs() throws {
        let told = Told()
        let end = try Self.server { requests, replies in
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await told.run("first") { try await replies.write(bytes(Self.window)) } }
                await withTaskGroup(of: Void.self) { given in
                    given.addTask { await told.run("given up") { try await replies.write(bytes(50)) } }
                    group.addTask { await told.run("last") { try await replies.write(bytes(7)) } }
                    _ = try? await requests.next()
                    given.cancelAll()
                }
                while (try? await requests.next()) != nil {}
            }
        }
        #expect(payload(try end.sent()) == Self.window)
        end.receive(.data(1, 1), .data(1, 0, [.endStream, .noMessage]))
        #expect(told.ended("given up")??.code == .cancelled)
        #expect(told.ended("last") == nil, "it waits for its window")
        end.receive(.window(1, 1000))
        let frames = try end.sent()
        #expect(frames.map(\.type) == [.data, .status])
        #expect(payload(frames) == 7)
        #expect(told.ended("last") == .some(.none))
    }

    @Test func aCallThatEndsWhileItsRestWaitsGivesItsPlaceBack() throws {
        for ending in [WireFrame.cancel(1), nil] {
            let told = Told()
            let end = try Self.server { requests, replies in
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await told.run("writer") { try await replies.write(bytes(Self.window + 1)) } }
                    _ = try? await requests.next()
                    group.cancelAll()
                }
            }
            end.receive(.data(1, 1))
            #expect(told.ended("writer")??.code == .cancelled)
            #expect(end.connection.openStreamCount == 1)
            if let ending { end.receive(ending) } else { end.lose() }
            #expect(end.connection.openStreamCount == 0)
        }
    }

    @Test func readingInACancelledTaskEndsAtOnceAndLeavesTheMessages() throws {
        let told = Told()
        let end = try Self.server { requests, _ in
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask { await told.run("cancelled before") { _ = try await requests.next() } }
            }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await told.run("cancelled while it waits") { _ = try await requests.next() } }
                await Task.yield()
                group.cancelAll()
            }
            await told.run("reader") {
                while let request = try await requests.next() { told.read.append(request.bytes.readableBytes) }
            }
        }
        #expect(told.failures.map(\.task) == ["cancelled before", "cancelled while it waits"])
        #expect(told.failures.allSatisfy { $0.failure?.code == .cancelled })
        end.receive(.data(1, 3), .data(1, 4, [.endMessage, .endStream]))
        #expect(told.read == [3, 4])
        #expect(try end.sent().last?.statusMeta?.failure == nil)
    }

    @Test func writingInACancelledTaskSendsNothing() throws {
        let told = Told()
        let end = try Self.server { _, replies in
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask { await told.run("writer") { try await replies.write(bytes(3)) } }
            }
        }
        #expect(told.ended("writer")??.code == .cancelled)
        #expect(try end.sent().map(\.type) == [.status])
    }

    @Test func aClientsWriterIsToldAndItsReaderGoesOn() throws {
        let end = try EmbeddedEnd.client()
        let told = Told()
        let stream = ClientStream(connection: end.connection)
        end.connection.open(
            stream,
            .init(method: EmbeddedService.chat, meta: RequestMeta(), deadline: nil, endStream: false),
            first: nil as RawMessage?)
        func start(_ name: String, _ body: @escaping @Sendable () async throws -> Void) -> Task<Void, Never> {
            Task.immediate(executorPreference: end.embedded.context.executor) { await told.run(name, body) }
        }
        let writer = start("writer") {
            try await stream.send(ByteBuffer(repeating: 1, count: Self.window + 5), endStream: false)
        }
        _ = start("reader") { while let bytes = try await stream.next() { told.read.append(bytes.readableBytes) } }
        // A finish that waits behind a message is given up too; the end follows all the same.
        let finish = start("finish") { try await stream.send(nil, endStream: true) }
        end.embedded.run()
        #expect(payload(try end.sent()) == Self.window)
        writer.cancel()
        finish.cancel()
        end.embedded.run()
        #expect(told.failures.map(\.task).sorted() == ["finish", "writer"])
        #expect(told.failures.allSatisfy { $0.failure?.code == .cancelled })
        #expect(try end.sent().isEmpty, "the call is not cancelled")
        end.receive(.window(1, 5), .data(1, 9))
        #expect(told.read == [9])
        let rest = try end.sent().filter { $0.type == .data }
        #expect(payload(rest) == 5)
        #expect(rest.last?.flags.contains(.endStream) == true)
        end.receive(.status(1))
        #expect(told.failures.last?.task == "reader" && told.failures.last?.failure == nil)
    }
}
