internal import Synchronization

/// How far an upload is, shown as it changes.
///
/// Counts only what happened: bytes that were handed over to the connection, of files that are being sent or were taken.
final class UploadProgress: Sendable {
    private struct State {
        var files = 0
        /// By file, so that one that is sent again is not counted twice.
        var bytes: [Int: UInt64] = [:]
        var sum: UInt64 = 0
    }

    private let files: Int
    private let bytes: UInt64
    private let show: @Sendable (String) -> Void
    private let state = Mutex(State())

    init(_ files: [FileTree.File], show: @escaping @Sendable (String) -> Void) {
        self.files = files.count
        bytes = files.reduce(0) { $0 + UInt64(clamping: $1.bytes) }
        self.show = show
    }

    /// So many bytes of a file have been sent, from its beginning. The most that was ever sent of it counts.
    func sent(_ count: Int, of file: Int) {
        state.withLock { state in
            let before = state.bytes[file] ?? 0
            guard UInt64(count) > before else { return }
            state.bytes[file] = UInt64(count)
            state.sum += UInt64(count) - before
            // Under the lock, so that lines come in the order of their counts.
            show(text(state))
        }
    }

    /// A file was taken or refused.
    func finished() {
        state.withLock { state in
            state.files += 1
            show(text(state))
        }
    }

    private func text(_ state: State) -> String {
        // A file may have grown since it was listed.
        "uploaded \(state.files) of \(files) files, \(shownBytes(state.sum)) of \(shownBytes(max(bytes, state.sum)))"
    }
}
