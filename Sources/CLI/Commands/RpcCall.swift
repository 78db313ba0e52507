internal import ArgumentParser
internal import Core
internal import RPC

struct RpcCall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "call",
        abstract: "Call a method with JSON; replies are JSON, one line each where several may come.",
        discussion: """
            --data takes JSON, @FILE, or - for standard input. Methods that take a stream of messages get every JSON value of it, each as
            it comes. Without --data a single message is empty. The exit status is that of the call's status: 0 OK, 4 not allowed,
            5 not found, 6 unreachable or too late, 1 anything else.

            Example:
              acp rpc call acp.v1.Ingest/ListJobs --data '{"pageSize":5}'
            """)

    @Argument(help: "acp.v1.Ingest/GetJob; the last part is enough where only one method has it.")
    var method: String

    @Option(
        name: [.customShort("d"), .customLong("data")], help: ArgumentHelp("The request.", valueName: "json|@file|-"))
    var data: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Sent with the call; repeatable. Values of keys ending in -bin are base64.", valueName: "k=v"))
    var metadata: [KeyValue] = []

    @Flag(
        name: [.customShort("v"), .customLong("verbose")],
        help: "Show the metadata of both sides and the server's times, on standard error.")
    var verbose = false

    @Flag(name: .customLong("emit-defaults"), help: "Also print fields that are at their default.")
    var emitDefaults = false

    @OptionGroup var server: ServerOption
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let command = self
        try await Session.run(options, isInterruptible: true) { session in try await command.run(session) }
    }

    private func run(_ session: Session) async throws {
        let input = try MessageInput(data)
        let found = try await RpcServers(session, server.server).find(method)
        guard case .method? = found.pool.symbol(found.name) else {
            throw Failure(
                .invalidArgument, reason: "NOT_A_METHOD", "\(found.name) is not a method.",
                remedy: "`acp rpc describe \(found.name)` shows what it is.")
        }
        let method = try found.pool.method(found.name)
        let call = DynamicCall(
            client: found.client, pool: found.pool, method: method, options: try callOptions(session, method))
        let printer = ReplyPrinter(
            pool: found.pool, type: method.responseType, format: session.output.format,
            isStream: method.serverStreaming, printsDefaults: emitDefaults)
        if verbose {
            session.console.note("acp: \(method.path), \(CallKind(method).words), at \(found.server)")
            Self.show("sent metadata", call.options.metadata, session.console)
        }
        let verbose = self.verbose
        try await call.run(input) { message in
            StandardOutput.write(try printer.text(message))
        } report: { report in
            guard verbose else { return }
            Self.show("initial metadata", report.initial, session.console)
            Self.show("trailing metadata", report.trailing, session.console)
            let times = report.times.map {
                ", \($0.serverMicroseconds) µs in the server after \($0.queueMicroseconds) µs in its queue"
            }
            session.console.note(
                "acp: \(report.replies) \(report.replies == 1 ? "message" : "messages") received\(times ?? "")")
        }
    }

    /// The setting `timeout` bounds the wait for one reply; a stream ends when it ends, unless --timeout says otherwise.
    private func callOptions(_ session: Session, _ method: MethodDescriptor) throws -> CallOptions {
        var call = method.serverStreaming && options.timeout == nil ? CallOptions() : session.callOptions
        for pair in metadata { try call.metadata.add(pair.key, text: pair.value) }
        return call
    }

    private static func show(_ title: String, _ metadata: Metadata, _ console: Console) {
        guard !metadata.isEmpty else { return }
        console.note("acp: \(title)")
        for (key, text) in metadata.texts { console.note("  \(key): \(Terminal.oneLine(text))") }
    }
}
