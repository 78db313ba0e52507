internal import Core
internal import RPC

/// One call of a method that is known from its server's description.
struct DynamicCall: Sendable {
    let client: RPCClient
    let pool: DescriptorPool
    let method: MethodDescriptor
    let options: CallOptions

    /// What the call has told so far.
    struct Report: Sendable {
        var initial = Metadata()
        var trailing = Metadata()
        var replies = 0
        /// nil when the server did not end the call.
        var times: ServerTimes?
    }

    /// Makes the call; `reply` gets each message as it comes.
    /// - Parameter report: called once, when the call has ended, however that was.
    /// - Throws: the call's `Failure`; what is wrong with the input.
    func run(
        _ input: MessageInput, reply: @escaping @Sendable (RawMessage) throws -> Void,
        report: @escaping @Sendable (Report) -> Void
    ) async throws {
        // On the wire a call with one message in a direction is a stream of one, so two forms do for all four kinds; and streams give
        // their metadata.
        guard method.clientStreaming else {
            let request = try await onlyRequest(input)
            let responses: ResponseReader<RawMessage> = try await client.serverStreaming(
                method, request, options: options)
            return try await receive(responses, reply, report)
        }
        try await client.bidirectional(method, options: options) {
            (requests: RequestWriter<RawMessage>, responses: ResponseReader<RawMessage>) in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await send(input, requests)
                    return false
                }
                group.addTask {
                    try await receive(responses, reply, report)
                    return true
                }
                // The call has ended when its replies have: what is still to be sent then, nobody reads. Input that is wrong ends it too.
                while let isOver = try await group.next(), !isOver {}
                group.cancelAll()
            }
        }
    }

    private func onlyRequest(_ input: MessageInput) async throws -> RawMessage {
        let first = try await input.next() ?? Array("{}".utf8)
        let request = RawMessage(try pool.message(first, type: method.requestType))
        guard try await input.next() == nil else {
            throw UsageProblem("\(method.name) takes one message, and --data has more than one.")
        }
        return request
    }

    private func send(_ input: MessageInput, _ requests: RequestWriter<RawMessage>) async throws {
        var count = 0
        while let json = try await input.next() {
            count += 1
            let message: RawMessage
            do { message = RawMessage(try pool.message(json, type: method.requestType)) } catch var failure as Failure {
                failure.message = "Message \(count) of the input: \(failure.message)"
                throw failure
            }
            // The server may have answered already; the outcome comes with its answer.
            do { try await requests.write(message) } catch { return }
        }
        try? await requests.finish()
    }

    private func receive(
        _ responses: ResponseReader<RawMessage>, _ reply: @Sendable (RawMessage) throws -> Void,
        _ report: @Sendable (Report) -> Void
    ) async throws {
        var told = Report()
        do {
            while let message = try await responses.next() {
                told.replies += 1
                try reply(message)
            }
            await complete(&told, responses)
            report(told)
        } catch {
            await complete(&told, responses)
            report(told)
            throw error
        }
        guard method.serverStreaming || told.replies == 1 else {
            throw Failure(
                .internalError, reason: "NO_REPLY",
                "The server sent \(told.replies) messages where \(method.name) has one.")
        }
    }

    /// Metadata and times are there when the call has ended; a lost connection has none.
    private func complete(_ told: inout Report, _ responses: ResponseReader<RawMessage>) async {
        if let initial = try? await responses.initialMetadata() { told.initial = initial }
        if let trailing = try? await responses.trailingMetadata() { told.trailing = trailing }
        if let times = try? await responses.serverTimes() { told.times = times }
    }
}
