import Core
import Glibc
import Logging
import RPC
import Storage
import TestSupport
import Testing

@testable import Ingest

/// Ingest as a process runs it: PostgreSQL, services reached over the in-process transport with an API key, the index, and, when its parsers are
/// built, the worker.
final class TestSystem: Sendable {
    let database: Database
    let system: IngestSystem
    let directory: String
    let ingest: IngestClient
    let search: SearchClient
    let keys: KeysClient
    private let runtime: RPCRuntime
    private let server: RPCServer
    private let client: RPCClient

    /// Where the parsers are, from the environment variable ACP_BIN_DIR; nil when they are not built.
    static var extractorPath: String? {
        guard let directory = getenv("ACP_BIN_DIR").map({ String(cString: $0) }) else { return nil }
        let path = directory + "/acp-extract"
        return access(path, X_OK) == 0 ? path : nil
    }

    init(
        database: Database, directory: String? = nil, redis: RedisClient? = nil, logger: Logger? = nil,
        adjust: (inout IngestConfiguration) -> Void = { _ in }
    ) async throws {
        self.database = database
        let directory = try directory ?? Self.makeDirectory()
        self.directory = directory
        var configuration = IngestConfiguration(dataDirectory: directory)
        if let path = Self.extractorPath { configuration.extractorPath = path }
        adjust(&configuration)
        let keyStore = KeyStore(database: database, pepper: try Pepper.loadOrCreate(path: directory + "/pepper"))
        let admin = try await keyStore.create(name: "admin-\(UUIDv7())", role: .admin)
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        system = IngestSystem(
            configuration: configuration, database: database, redis: redis, keys: keyStore, logger: logger ?? quiet)
        var router = ServiceRouter()
        system.register(in: &router)
        var serverConfiguration = RPCServer.Configuration()
        serverConfiguration.authenticator = KeyAuthenticator(keys: keyStore)
        runtime = RPCRuntime(threads: 1)
        server = RPCServer(runtime: runtime, router: router, configuration: serverConfiguration)
        var clientConfiguration = RPCClient.Configuration()
        clientConfiguration.credential = admin.key.text
        client = RPCClient(runtime: runtime, endpoint: .inProcess(server), configuration: clientConfiguration)
        ingest = IngestClient(client)
        search = SearchClient(client)
        keys = KeysClient(client)
    }

    static func makeDirectory() throws -> String {
        var template = Array("/tmp/acp-ingest-XXXXXX".utf8CString)
        guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
            throw Failure(.resourceExhausted, "no temporary directory")
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Stops everything and removes the directory unless it is to be used again.
    func stop(keepingDirectory: Bool = false) async throws {
        await client.shutdown()
        await server.shutdown(grace: .seconds(5))
        await system.stop(grace: .seconds(10))
        await runtime.shutdown()
        database.close()
        if !keepingDirectory { Self.remove(directory) }
    }

    static func remove(_ directory: String) {
        guard let handle = opendir(directory) else { return }
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            let path = "\(directory)/\(name)"
            if unlink(path) != 0 { remove(path) }
        }
        closedir(handle)
        rmdir(directory)
    }

    // MARK: Shorthand

    func upload(
        _ origin: String, _ bytes: [UInt8], idempotencyKey: String = "", pieceBytes: Int = 65_536,
        _ adjust: (inout UploadStart) -> Void = { _ in }
    ) async throws -> UploadDocumentResponse {
        var start = UploadStart(origin: origin)
        adjust(&start)
        let first = start
        return try await ingest.uploadDocument(options: CallOptions(idempotencyKey: idempotencyKey)) { writer in
            try await writer.write(UploadDocumentRequest(part: .start(first)))
            for offset in stride(from: 0, to: bytes.count, by: pieceBytes) {
                let piece = Array(bytes[offset..<min(bytes.count, offset + pieceBytes)])
                try await writer.write(UploadDocumentRequest(part: .data(piece)))
            }
        }
    }

    func upload(_ origin: String, _ text: String, _ adjust: (inout UploadStart) -> Void = { _ in }) async throws
        -> UploadDocumentResponse
    {
        try await upload(origin, Array(text.utf8), adjust)
    }

    /// Watches a job to its end.
    func end(of job: RPC.Job?) async throws -> RPC.Job {
        let updates = try await ingest.watchJob(
            GetJobRequest(id: job?.id ?? ""), options: CallOptions(timeout: .seconds(60)))
        var last = RPC.Job()
        for try await update in updates { last = update }
        return last
    }

    /// Returns when the index has everything that is committed.
    func catchUp() async throws {
        let deadline = MonotonicTime.now().advanced(by: .seconds(30))
        let last = try await database.run { try IndexLog.last(on: $0) }
        while system.indexSequence < last {
            guard MonotonicTime.now() < deadline else {
                throw Failure(.deadlineExceeded, "the index does not catch up")
            }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Checks the rows of the tables that an upload touches, in the order of `rowCounts`.
    func expectRows(_ counts: [Int], _ location: SourceLocation = #_sourceLocation) async throws {
        let found = try await rowCounts()
        #expect(found == counts, "documents, revisions, originals, parts, jobs, chunks, log", sourceLocation: location)
    }

    /// Rows of the tables that an upload touches.
    func rowCounts() async throws -> [Int] {
        try await database.run { connection in
            let row = try connection.execute(
                """
                SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM revisions), (SELECT count(*) FROM originals),
                    (SELECT count(*) FROM original_parts), (SELECT count(*) FROM jobs), (SELECT count(*) FROM chunks),
                    (SELECT count(*) FROM index_log)
                """
            ).one()
            return try (0..<7).map { try row.int($0) }
        }
    }
}

/// Runs `body` with a system on a fresh database.
func withSystem(
    adjust: (inout IngestConfiguration) -> Void = { _ in }, _ body: (TestSystem) async throws -> Void
) async throws {
    let database = try await TestPostgres.shared().freshDatabase()
    let system = try await TestSystem(database: database, adjust: adjust)
    do {
        try await body(system)
    } catch {
        try await system.stop()
        throw error
    }
    try await system.stop()
}

/// The failure that `body` throws; nil when it throws none.
func failure(_ body: () async throws -> Void) async -> Failure? {
    do {
        try await body()
        return nil
    } catch {
        return Failure(wrapping: error)
    }
}
