internal import Core
internal import Platform
internal import RPC

/// The servers that `acp rpc` asks, and where among them a name is.
struct RpcServers: Sendable {
    private let session: Session
    private let names: [String]

    /// - Parameter server: what `--server` says; nil asks the services that have methods of their own.
    init(_ session: Session, _ server: String?) {
        self.session = session
        names = server.map { [$0] } ?? [Session.Service.ingest.rawValue, Session.Service.agents.rawValue]
    }

    /// Services of all servers that answered.
    struct Listing: Sendable {
        var services: [(server: String, service: ReflectedService)] = []
        /// Why the first server that did not answer did not.
        var problem: Failure?

        /// A service by its full name, or by the end of it where that is clear.
        func service(named name: String) throws -> ReflectedService {
            let names = Set(services.map(\.service.name)).sorted()
            let full = try RpcServers.match(name, among: names, problem, "service")
            guard let found = services.first(where: { $0.service.name == full }) else {
                preconditionFailure("matches are names that were given")
            }
            return found.service
        }
    }

    func list() async throws -> Listing {
        var listing = Listing()
        for name in names {
            do {
                let services = try await source(name).services()
                listing.services += services.map { (name, $0) }
            } catch let failure as Failure {
                guard names.count > 1 else { throw failure }
                if listing.problem == nil { listing.problem = failure }
            }
        }
        if let problem = listing.problem, listing.services.isEmpty { throw problem }
        return listing
    }

    /// A name and the server that declares it.
    struct Found: Sendable {
        var name: String
        var server: String
        var client: RPCClient
        var pool: DescriptorPool
    }

    /// Finds a full name, or a service or method by the end of its name. A method may be written with a slash before it.
    /// - Throws: `Failure` NOT_FOUND with what is near, INVALID_ARGUMENT for an end that several names have; what kept a server from answering.
    func find(_ text: String) async throws -> Found {
        let name = String((text.hasPrefix("/") ? text.dropFirst() : text[...]).map { $0 == "/" ? "." : $0 })
        if let found = try await findExactly(name) { return found }
        let listing = try await list()
        let known = Set(
            listing.services.flatMap { entry in
                [entry.service.name] + entry.service.methods.map { "\(entry.service.name).\($0.name)" }
            }
        ).sorted()
        let full = try Self.match(name, among: known, listing.problem, "service, method, message or enum")
        if full != name, let found = try await findExactly(full) { return found }
        throw Failure(
            .notFound, reason: "UNKNOWN_SYMBOL", "The server lists \(full) but does not describe it.",
            remedy: "Tell whoever runs the server; it cannot be called without its description.")
    }

    private func findExactly(_ name: String) async throws -> Found? {
        for server in names {
            do {
                let pool = try await source(server).pool(defining: name)
                return Found(name: name, server: server, client: try session.client(at: server), pool: pool)
            } catch let failure as Failure {
                // Another server may have it; who cannot be asked is told when none has.
                let isElsewhere = [.unavailable, .deadlineExceeded, .unimplemented].contains(failure.code)
                guard failure.code == .notFound || (isElsewhere && names.count > 1) else { throw failure }
            }
        }
        return nil
    }

    private func source(_ server: String) throws -> ReflectionSource {
        ReflectionSource(try session.client(at: server), timeout: session.configuration[.timeout])
    }

    private static func match(_ name: String, among known: [String], _ problem: Failure?, _ what: String) throws
        -> String
    {
        if known.contains(name) { return name }
        let matches = known.filter { $0.hasSuffix(".\(name)") }
        if let only = matches.first, matches.count == 1 { return only }
        let shown = Terminal.oneLine(name)
        guard matches.isEmpty else {
            throw Failure(
                .invalidArgument, reason: "AMBIGUOUS_NAME", "\(shown) may be \(matches.joined(separator: " or ")).",
                remedy: "Write one of them in full.")
        }
        if let problem { throw problem }
        let near = Spelling.nearest(to: name, among: known) ?? nearestEnd(of: name, among: known)
        throw Failure(
            .notFound, reason: "UNKNOWN_SYMBOL", "There is no \(what) called \(shown).",
            remedy: near.map { "Did you mean \($0)?" }
                ?? "`acp rpc list` shows what there is; --server asks another server.")
    }

    /// The name whose last part is spelt most like that of `name`.
    private static func nearestEnd(of name: String, among known: [String]) -> String? {
        func end(_ name: String) -> String { name.split(separator: ".").last.map(String.init) ?? name }
        guard let near = Spelling.nearest(to: end(name), among: known.map(end)) else { return nil }
        return known.first { end($0) == near }
    }
}
