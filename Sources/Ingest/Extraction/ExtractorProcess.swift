internal import CProcess
internal import Core
internal import Glibc

/// What one kind of `acp-extract` reads; see its `--profile`.
enum ExtractorProfile: String, Sendable, CaseIterable {
    case text
    case pdf

    init(_ mediaType: MediaType) {
        switch mediaType {
        case .plainText, .markdown, .html: self = .text
        case .pdf: self = .pdf
        }
    }
}

/// A running `acp-extract`. Ends with its last reference.
final class ExtractorProcess: Sendable {
    /// How long it may take to say that it is ready, in milliseconds.
    private static let readyMsMax: Int32 = 10_000
    private static let readyBytesMax = 4096

    let pid: pid_t
    private let socket: Int32
    /// 0 when the kernel has no Landlock.
    let landlockVersion: Int
    /// `name version` of each.
    let parsers: [String]

    /// Starts it and waits until it is ready. Blocks.
    /// - Throws: UNAVAILABLE with reason EXTRACTOR_UNAVAILABLE.
    init(executable: String, profile: ExtractorProfile) throws(Failure) {
        var ends: [Int32] = [-1, -1]
        guard acp_packet_pair(&ends) == 0 else { throw Self.unavailable("no socket pair could be made") }
        let theirs = ends[1]
        defer { close(theirs) }
        let started = Self.spawn(executable, profile, socket: theirs)
        guard started > 0 else {
            close(ends[0])
            throw Self.unavailable("\(executable) could not be started: \(String(cString: strerror(-started)))")
        }
        guard let ready = Self.awaitReady(ends[0]) else {
            kill(started, SIGKILL)
            close(ends[0])
            waitpid(started, nil, 0)
            throw Self.unavailable("\(executable) did not become ready")
        }
        pid = started
        socket = ends[0]
        landlockVersion = ready.landlockVersion
        parsers = ready.parsers
    }

    deinit {
        // Its parsers die with it.
        close(socket)
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }

    /// Hands a document over. Returns false when the process is gone.
    func send(_ start: [UInt8], input: Int32, output: Int32, report: Int32) -> Bool {
        acp_send_packet(socket, start, start.count, [input, output, report], 3) > 0
    }

    /// Whether `executable` can be run.
    static func check(_ executable: String) throws(Failure) {
        guard access(executable, X_OK) == 0 else {
            throw unavailable("\(executable): \(String(cString: strerror(errno)))")
        }
    }

    static func unavailable(_ why: String) -> Failure {
        Failure(
            .unavailable, reason: "EXTRACTOR_UNAVAILABLE", "Documents cannot be read: \(why).",
            remedy: "Install acp-extract beside acp, or configure where it is.")
    }

    /// The id of the started process, or -errno. A process group of its own: Ctrl-C is for the worker, which lets documents finish.
    private static func spawn(_ executable: String, _ profile: ExtractorProfile, socket: Int32) -> pid_t {
        // Nothing of the worker's environment is for parsers, secrets least of all.
        let arguments = Self.copies([executable, "--profile", profile.rawValue])
        let environment = Self.copies(["LC_ALL=C.UTF-8", "TZ=UTC", "SWIFT_BACKTRACE=enable=no"])
        defer { for text in arguments + environment { free(text) } }
        return acp_spawn_with_socket(executable, arguments, environment, socket)
    }

    /// A vector of C strings as exec wants it, ended by nil; the caller frees them.
    private static func copies(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
        texts.map { (text: String) -> UnsafeMutablePointer<CChar>? in strdup(text) } + [nil]
    }

    private static func awaitReady(_ socket: Int32) -> (landlockVersion: Int, parsers: [String])? {
        var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard poll(&polled, 1, readyMsMax) == 1 else { return nil }
        var packet = [UInt8](repeating: 0, count: readyBytesMax)
        var descriptorCount = 0
        let count = acp_receive_packet(socket, &packet, packet.count, nil, 0, &descriptorCount)
        return count > 0 ? ExtractFrameDecoder.ready(Array(packet[..<count])) : nil
    }
}
