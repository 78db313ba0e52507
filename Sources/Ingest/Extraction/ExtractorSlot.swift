internal import CProcess
internal import Core
internal import Glibc

/// Reads one document at a time on a thread of its own.
struct ExtractorSlot: Sendable {
    let signal: WakeSignal

    init() throws(Failure) { signal = try WakeSignal() }

    /// Why one try did not give a result.
    private enum Interruption: Error {
        /// The server ended, or could not fork. The document is not to blame.
        case serverLost
        case failed(Failure)
        case cancelled
    }

    /// The document, or why there is none. Blocks.
    ///
    /// - Parameters:
    ///   - process: gives the server of a profile, started if need be.
    ///   - lost: told that a server does not work any more.
    func run(
        _ job: ExtractionJob, process: (ExtractorProfile) throws(Failure) -> ExtractorProcess,
        lost: (ExtractorProcess) -> Void
    ) -> Result<ExtractedContent, any Error> {
        for _ in 0..<2 {
            let server: ExtractorProcess
            do throws(Failure) {
                server = try process(ExtractorProfile(job.mediaType))
            } catch {
                return .failure(error)
            }
            do throws(Interruption) {
                return .success(try attempt(job, server))
            } catch {
                switch error {
                case .serverLost: lost(server)
                case .failed(let failure): return .failure(failure)
                case .cancelled: return .failure(CancellationError())
                }
            }
        }
        return .failure(ExtractorProcess.unavailable("acp-extract ended twice while it read one document"))
    }

    private func attempt(_ job: ExtractionJob, _ server: ExtractorProcess) throws(Interruption) -> ExtractedContent {
        let input = Descriptor(opening: job.original)
        var status = stat()
        guard input.value >= 0, fstat(input.value, &status) == 0 else {
            throw .failed(ExtractorProcess.unavailable("the original cannot be handed to its parser"))
        }
        let byteCount = Int(status.st_size)
        guard let outputEnds = Pipe.make(), let reportEnds = Pipe.make() else {
            throw .failed(ExtractorProcess.unavailable("no pipe could be made: \(String(cString: strerror(errno)))"))
        }
        let output = Descriptor(outputEnds.read)
        // Closed on every way out, which kills a parser that still runs.
        let report = Descriptor(reportEnds.read)
        let start = ExtractFrameDecoder.start(job.mediaType, job.limits, byteCount: byteCount)
        let isSent = server.send(start, input: input.value, output: outputEnds.write, report: reportEnds.write)
        close(outputEnds.write)
        close(reportEnds.write)
        guard isSent else { throw .serverLost }

        let wallSeconds = job.limits.cpuSeconds(byteCount: byteCount) * job.limits.wallTimeFactor
        let deadline = MonotonicTime.now().advanced(by: .seconds(Int64(wallSeconds)))
        var assembler = ParserFrameAssembler(mediaType: job.mediaType, limits: job.limits)
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            try wait(for: output, job, deadline, seconds: wallSeconds)
            let count = read(output.value, &chunk, chunk.count)
            if count == 0 { break }
            guard count > 0 else { throw .failed(ExtractorProcess.unavailable("the parser's output cannot be read")) }
            do throws(Failure) {
                try assembler.receive(chunk[..<count])
            } catch {
                throw .failed(error)
            }
            job.progress(assembler.progress)
        }
        try wait(for: report, job, deadline, seconds: wallSeconds)
        let count = read(report.value, &chunk, chunk.count)
        guard count > 0, let ending = ExtractFrameDecoder.report(Array(chunk[..<count])) else { throw .serverLost }
        do throws(Failure) {
            return try assembler.finish(ending, originalBytes: byteCount)
        } catch {
            throw .failed(error)
        }
    }

    /// Waits until the descriptor can be read (or its other end is closed).
    private func wait(
        for descriptor: borrowing Descriptor, _ job: ExtractionJob, _ deadline: MonotonicTime, seconds: UInt32
    ) throws(Interruption) {
        while true {
            var polled = [
                pollfd(fd: descriptor.value, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            let left = MonotonicTime.now().duration(to: deadline).wholeNanoseconds
            guard left > 0 else { throw .failed(.parserTimeout(seconds: seconds)) }
            let ready = poll(&polled, 2, Int32(clamping: left / 1_000_000 + 1))
            if polled[1].revents != 0 {
                signal.clear()
                if job.mustStop { throw .cancelled }
            }
            if ready > 0, polled[0].revents != 0 { return }
        }
    }
}

/// A descriptor that is closed when it goes out of scope, unless it was borrowed.
private struct Descriptor: ~Copyable {
    /// -errno when it could not be opened.
    let value: Int32
    private let isOwned: Bool

    init(_ value: Int32) {
        self.value = value
        isOwned = true
    }

    init(opening original: OriginalBytes) {
        switch original {
        case .bytes(let bytes):
            value = bytes.withUnsafeBytes { acp_sealed_memory($0.baseAddress, $0.count) }
            isOwned = true
        case .file(let descriptor):
            value = descriptor
            isOwned = false
        }
    }

    deinit {
        if isOwned, value >= 0 { close(value) }
    }
}
