internal import CACPProtos
internal import CProcess
internal import CProtobufC
internal import CSandbox
internal import Glibc

/// Forks a sandboxed parser per document and reports how each ended. Never looks into a document itself, and has one thread.
struct ForkServer {
    /// The worker's end of the protocol.
    static let socket: Int32 = 3
    /// A packet holds a media type and a few numbers.
    private static let packetBytesMax = 1024
    /// Standard input, output and error, and a few for the character maps poppler opens.
    private static let childDescriptorsMax: UInt32 = 16

    private struct Child {
        var pid: pid_t
        var report: Int32
    }

    private let parsers: [any DocumentParser]
    private let sandbox: OpaquePointer
    private let childEnds: Int32
    private let null: Int32
    private var children: [Child] = []

    init(profile: Profile) throws(ParseFailure) {
        null = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null > 3 else { throw ParseFailure("START", "descriptors 0 to 3 must be open, and /dev/null must exist") }
        signal(SIGPIPE, SIG_IGN)
        childEnds = acp_child_signal_descriptor()
        guard childEnds >= 0 else { throw ParseFailure("START", "signalfd: \(String(cString: strerror(-childEnds)))") }
        sandbox = try Self.prepareSandbox(profile.readablePaths)
        parsers = try profile.makeParsers()
        try warmUp(profile.warmUpDocuments)
    }

    private func warmUp(_ documents: [(mediaType: String, bytes: [UInt8])]) throws(ParseFailure) {
        let limits = ParseLimits(
            memoryBytesMax: 1 << 30, cpuSecondsMax: 1, outputBytesMax: 1 << 20, pagesMax: 10, blocksMax: 1000,
            nestingMax: 100)
        for (mediaType, bytes) in documents {
            guard let parser = parsers.first(where: { $0.mediaType == mediaType }) else { continue }
            let input = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
            defer { input.deallocate() }
            input.copyBytes(from: bytes)
            let writer = FrameWriter(output: null, limits: limits)
            writer.describe(parser)
            try parser.parse(UnsafeRawBufferPointer(input), limits: limits, into: writer)
            try writer.end()
        }
    }

    private static func prepareSandbox(_ paths: [String]) throws(ParseFailure) -> OpaquePointer {
        let copies = paths.map { UnsafePointer(strdup($0)) }
        defer { for copy in copies { free(UnsafeMutablePointer(mutating: copy)) } }
        var sandbox: OpaquePointer?
        let result = acp_sandbox_prepare(copies, copies.count, &sandbox)
        guard result == 0, let sandbox else {
            throw ParseFailure("START", "the sandbox cannot be prepared: \(String(cString: strerror(-result)))")
        }
        return sandbox
    }

    /// Serves until the worker closes its end. Returns the exit status.
    mutating func run() -> Int32 {
        guard announce() else { return 74 }
        while true {
            var polled = [
                pollfd(fd: Self.socket, events: Int16(POLLIN), revents: 0),
                pollfd(fd: childEnds, events: Int16(POLLIN), revents: 0),
            ]
            // No events asked for: only the error that says that nobody reads the report any more.
            for child in children { polled.append(pollfd(fd: child.report, events: 0, revents: 0)) }
            guard poll(&polled, nfds_t(polled.count), -1) >= 0 || errno == EINTR else { return 71 }

            for (entry, child) in zip(polled.dropFirst(2), children) where entry.revents & Int16(POLLERR) != 0 {
                kill(child.pid, SIGKILL)
            }
            if polled[1].revents != 0 { reap() }
            if polled[0].revents != 0, !serve() {
                for child in children { kill(child.pid, SIGKILL) }
                return 0
            }
        }
    }

    private mutating func reap() {
        acp_child_signal_drain(childEnds)
        var end = acp_child_end()
        while acp_child_reap(&end) == 1 {
            guard let index = children.firstIndex(where: { $0.pid == end.pid }) else { continue }
            let child = children.remove(at: index)
            var report = Acp__V1__ExtractReport()
            acp__v1__extract_report__init(&report)
            report.exit_status = end.exit_status
            report.signal = UInt32(end.signal)
            report.cpu_microseconds = end.cpu_microseconds
            report.memory_peak_bytes = end.memory_peak_bytes
            var bytes = [UInt8](repeating: 0, count: acp__v1__extract_report__get_packed_size(&report))
            acp__v1__extract_report__pack(&report, &bytes)
            // Far below what a pipe takes at once, so this never waits. A worker that has lost interest is no error.
            _ = write(child.report, bytes, bytes.count)
            close(child.report)
        }
    }

    /// Takes one packet. Returns false when the worker has closed its end or broken the protocol.
    private mutating func serve() -> Bool {
        var packet = [UInt8](repeating: 0, count: Self.packetBytesMax)
        var descriptors: [Int32] = [-1, -1, -1]
        var descriptorCount = 0
        let count = acp_receive_packet(Self.socket, &packet, packet.count, &descriptors, 3, &descriptorCount)
        guard count > 0 else { return false }
        defer { for descriptor in descriptors.prefix(descriptorCount) { close(descriptor) } }
        guard descriptorCount == 3, let start = acp__v1__extract_start__unpack(nil, count, packet) else { return false }
        defer { acp__v1__extract_start__free_unpacked(start, nil) }
        guard let limits = start.pointee.limits?.pointee else { return false }
        let mediaType = String(cString: start.pointee.media_type)

        let pid = getpid()
        let child = acp_sandbox_fork()
        if child == 0 {
            runParser(of: mediaType, ParseLimits(limits), parent: pid, input: descriptors[0], output: descriptors[1])
        }
        if child > 0 {
            let report = fcntl(descriptors[2], F_DUPFD_CLOEXEC, 4)
            children.append(Child(pid: child, report: report))
        }
        // Without a child the report closes unwritten, which the worker takes for a server that failed.
        return true
    }

    /// The life of a child: into the sandbox, parse, end. It never returns to the server's code.
    private func runParser(
        of mediaType: String, _ limits: ParseLimits, parent: pid_t, input: Int32, output: Int32
    ) -> Never {
        var status = stat()
        guard fstat(input, &status) == 0 else { _exit(71) }
        var rlimits = acp_sandbox_limits(
            memory_bytes: limits.memoryBytesMax, cpu_seconds: limits.cpuSecondsMax,
            descriptors: Self.childDescriptorsMax)
        guard acp_sandbox_enter(sandbox, &rlimits, parent, input, output, null) == 0 else { _exit(71) }

        let writer = FrameWriter(output: 1, limits: limits)
        do throws(ParseFailure) {
            guard let parser = parsers.first(where: { $0.mediaType == mediaType }) else {
                throw ParseFailure("UNSUPPORTED_TYPE", "This parser does not read \(mediaType).")
            }
            writer.describe(parser)
            try parser.parse(try mapInput(bytes: Int(status.st_size)), limits: limits, into: writer)
            try writer.end()
        } catch {
            writer.fail(error)
        }
        // Without atexit handlers and destructors: the kernel frees faster than any library.
        _exit(0)
    }

    /// The original on descriptor 0 as memory.
    private func mapInput(bytes: Int) throws(ParseFailure) -> UnsafeRawBufferPointer {
        guard bytes > 0 else { throw ParseFailure("EMPTY_FILE", "The document is empty.") }
        guard let start = mmap(nil, bytes, PROT_READ, MAP_PRIVATE, 0, 0), start != MAP_FAILED else {
            throw .tooLarge("The document does not fit into the memory a parser may use (\(bytes) bytes).")
        }
        return UnsafeRawBufferPointer(start: start, count: bytes)
    }

    /// Sends ExtractReady.
    private func announce() -> Bool {
        let texts = parsers.map { (strdup($0.mediaType), strdup($0.name), strdup($0.version)) }
        var messages = texts.map { mediaType, name, version in
            var message = Acp__V1__ExtractParser()
            acp__v1__extract_parser__init(&message)
            message.media_type = mediaType
            message.name = name
            message.version = version
            return message
        }
        let sent = messages.withUnsafeMutableBufferPointer { messages in
            var pointers: [UnsafeMutablePointer<Acp__V1__ExtractParser>?] = messages.indices.map {
                messages.baseAddress?.advanced(by: $0)
            }
            return pointers.withUnsafeMutableBufferPointer { pointers in
                var ready = Acp__V1__ExtractReady()
                acp__v1__extract_ready__init(&ready)
                ready.landlock_version = UInt32(acp_sandbox_landlock_version(sandbox))
                ready.n_parsers = pointers.count
                ready.parsers = pointers.baseAddress
                var bytes = [UInt8](repeating: 0, count: acp__v1__extract_ready__get_packed_size(&ready))
                acp__v1__extract_ready__pack(&ready, &bytes)
                return acp_send_packet(Self.socket, bytes, bytes.count, nil, 0)
            }
        }
        for (mediaType, name, version) in texts {
            free(mediaType)
            free(name)
            free(version)
        }
        return sent > 0
    }
}

extension ParseLimits {
    init(_ message: Acp__V1__ExtractLimits) {
        self.init(
            memoryBytesMax: message.memory_bytes_max, cpuSecondsMax: message.cpu_seconds_max,
            outputBytesMax: message.output_bytes_max, pagesMax: Int(message.pages_max),
            blocksMax: Int(message.blocks_max),
            nestingMax: Int(message.nesting_max))
    }
}
