internal import Core
internal import Synchronization

/// One wait of a task for a stream: for a message, or until one of its own is sent. Cancelling the task gives up this wait and no other.
///
/// A cancellation may come before the wait has reached the connection's loop, and is found here then.
final class StreamWait: Sendable {
    private let givenUp = Atomic(false)

    var isGivenUp: Bool { givenUp.load(ordering: .acquiring) }

    func giveUp() { givenUp.store(true, ordering: .releasing) }

    /// What a task gets that was cancelled while it waited.
    static var cancelled: Failure { Failure(.cancelled, "The task that waited for the call was cancelled.") }
}
