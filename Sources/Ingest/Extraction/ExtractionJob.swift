internal import CProcess
internal import Core
internal import Glibc
internal import Synchronization

/// How far a parser has come with a document.
public struct ExtractionProgress: Sendable, Hashable {
    /// Pages that have been read to their end.
    public var pagesDone = 0
    /// Pages of the document; 0 for formats without pages and before the parser has said.
    public var pagesTotal = 0
    /// Bytes of text found.
    public var textBytes = 0

    /// In pages where the document has some, otherwise in bytes of text, of which nobody knows the total.
    public var done: Int { pagesTotal > 0 ? pagesDone : textBytes }
}

/// One document on its way through the pool. Its continuation is resumed exactly once, whoever comes first.
final class ExtractionJob: Sendable {
    typealias Continuation = CheckedContinuation<ExtractedContent, any Error>

    private enum State {
        /// Nobody waits yet. Next: waiting, cancelled.
        case new
        /// Next: running, cancelled, done.
        case waiting(Continuation)
        /// A slot reads it and can be woken through the signal. Next: stopping, done.
        case running(Continuation, WakeSignal)
        /// The slot has been told to stop. Next: done.
        case stopping(Continuation)
        /// Before anybody waited. Next: done.
        case cancelled
        case done
    }

    let original: OriginalBytes
    let mediaType: MediaType
    let limits: ExtractionLimits
    /// Called on the slot's thread as output comes.
    let progress: @Sendable (ExtractionProgress) -> Void
    private let state = Mutex(State.new)

    init(
        _ original: OriginalBytes, mediaType: MediaType, limits: ExtractionLimits,
        progress: @escaping @Sendable (ExtractionProgress) -> Void
    ) {
        self.original = original
        self.mediaType = mediaType
        self.limits = limits
        self.progress = progress
    }

    /// Returns false, having answered, when it was cancelled already.
    func wait(_ continuation: Continuation) -> Bool {
        let isCancelled = state.withLock { state in
            if case .cancelled = state {
                state = .done
                return true
            }
            state = .waiting(continuation)
            return false
        }
        if isCancelled { continuation.resume(throwing: CancellationError()) }
        return !isCancelled
    }

    /// Returns false when there is nothing to do any more.
    func run(_ signal: WakeSignal) -> Bool {
        state.withLock { state in
            guard case .waiting(let continuation) = state else { return false }
            state = .running(continuation, signal)
            return true
        }
    }

    /// Whether the slot that runs it must stop.
    var mustStop: Bool {
        state.withLock { if case .running = $0 { false } else { true } }
    }

    func cancel() {
        let waiting: Continuation? = state.withLock { state in
            switch state {
            case .new:
                state = .cancelled
                return nil
            case .waiting(let continuation):
                state = .done
                return continuation
            case .running(let continuation, let signal):
                state = .stopping(continuation)
                signal.wake()
                return nil
            case .stopping, .cancelled, .done: return nil
            }
        }
        waiting?.resume(throwing: CancellationError())
    }

    func finish(_ result: Result<ExtractedContent, any Error>) {
        let waiting: Continuation? = state.withLock { state in
            switch state {
            case .waiting(let continuation), .running(let continuation, _), .stopping(let continuation):
                state = .done
                return continuation
            case .new, .cancelled, .done: return nil
            }
        }
        waiting?.resume(with: result)
    }
}

/// Wakes a thread that waits in `poll`: a pipe that nothing but the wake-up goes through.
final class WakeSignal: Sendable {
    /// For `poll`.
    let descriptor: Int32
    private let writeEnd: Int32

    init() throws(Failure) {
        guard let ends = Pipe.make(nonBlocking: true) else {
            throw ExtractorProcess.unavailable("no pipe could be made: \(String(cString: strerror(errno)))")
        }
        descriptor = ends.read
        writeEnd = ends.write
    }

    deinit {
        close(descriptor)
        close(writeEnd)
    }

    func wake() {
        var byte: UInt8 = 1
        // A full pipe wakes as well.
        _ = write(writeEnd, &byte, 1)
    }

    /// Forgets wake-ups that have been noticed.
    func clear() {
        var bytes: (UInt64, UInt64) = (0, 0)
        while withUnsafeMutableBytes(of: &bytes, { read(descriptor, $0.baseAddress, $0.count) }) > 0 {}
    }
}

/// A pipe's two descriptors, closed on exec; whoever makes one closes them.
enum Pipe {
    static func make(nonBlocking: Bool = false) -> (read: Int32, write: Int32)? {
        var ends: [Int32] = [-1, -1]
        return acp_pipe(&ends, nonBlocking ? 1 : 0) == 0 ? (ends[0], ends[1]) : nil
    }
}
