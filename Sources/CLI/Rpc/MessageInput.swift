internal import Core
internal import Glibc
internal import RPC
internal import Synchronization

/// The JSON values that `--data` gives, one after the other: from the command line, a file, or standard input as it comes.
actor MessageInput {
    private enum Source {
        case none
        case inline
        case descriptor(Int32, name: String, ChunkReader)
    }

    private var source: Source
    private var splitter = JSONSplitter()

    /// - Parameter data: JSON, `@` and a file's path, `-` for standard input, or nil for nothing.
    /// - Throws: `Failure` NOT_FOUND or FAILED_PRECONDITION for a file that cannot be opened.
    init(_ data: String?) throws {
        switch data {
        case nil: source = .none
        case "-"?: source = .descriptor(0, name: "standard input", try ChunkReader())
        case let path? where path.hasPrefix("@"):
            let path = String(path.dropFirst())
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw FileReader.unreadable(path, errno) }
            source = .descriptor(descriptor, name: path, try ChunkReader())
        case let json?:
            source = .inline
            splitter.add(Array(json.utf8))
        }
    }

    /// The next value; nil after the last.
    /// - Throws: `Failure`; `CancellationError` as soon as the task is cancelled, whatever is still to be read.
    func next() async throws -> [UInt8]? {
        while true {
            if let value = try splitter.next() { return value }
            guard case .descriptor(let descriptor, let name, let reader) = source else { return splitter.rest() }
            switch try await reader.next(descriptor) {
            case .success(let bytes) where bytes.isEmpty:
                if descriptor != 0 { close(descriptor) }
                source = .none
            case .success(let bytes): splitter.add(bytes)
            case .failure(let error): throw FileReader.unreadable(name, error.code)
            }
        }
    }
}

/// Reads on a thread of its own, because nothing tells how long a read takes; who waits for it can give up at any moment.
private final class ChunkReader: Sendable {
    private actor Thread {
        private nonisolated let thread: FileThread
        nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

        init() throws { thread = try FileThread() }

        func read(_ descriptor: Int32) -> Result<[UInt8], SystemError> {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = Glibc.read(descriptor, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                return count < 0 ? .failure(SystemError(code: errno)) : .success(Array(buffer[..<count]))
            }
        }
    }

    private enum State {
        case idle
        case waiting(CheckedContinuation<Result<[UInt8], SystemError>, any Error>)
        /// Final: nobody waits any more.
        case cancelled
    }

    private let thread: Thread
    private let state = Mutex(State.idle)

    init() throws { thread = try Thread() }

    /// The next bytes; empty at the end.
    func next(_ descriptor: Int32) async throws -> Result<[UInt8], SystemError> {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if case .cancelled = state { return true }
                    state = .waiting(continuation)
                    return false
                }
                guard !isCancelled else { return continuation.resume(throwing: CancellationError()) }
                Task.detached { self.deliver(await self.thread.read(descriptor)) }
            }
        } onCancel: {
            let waiting = take(last: true)
            waiting?.resume(throwing: CancellationError())
        }
    }

    private func deliver(_ result: Result<[UInt8], SystemError>) { take(last: false)?.resume(returning: result) }

    private func take(last: Bool) -> CheckedContinuation<Result<[UInt8], SystemError>, any Error>? {
        state.withLock { state in
            let before = state
            if last { state = .cancelled } else if case .waiting = before { state = .idle }
            if case .waiting(let continuation) = before { return continuation }
            return nil
        }
    }
}
