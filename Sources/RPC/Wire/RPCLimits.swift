internal import Core

/// Limits of one connection end. Defaults are those of docs/protocol.md; both ends announce theirs in HELLO and the smaller applies.
public struct RPCLimits: Sendable, Hashable {
    /// Largest length field of a frame; within `frameBytesRange`.
    public var frameBytesMax = 65_536
    public static let frameBytesRange = 1024...1_048_576
    /// Largest message; bigger things are streams of messages.
    public var messageBytesMax = 4 << 20
    /// Bytes of DATA payload in flight on one stream and on the connection.
    public var streamWindowBytes = 256 << 10
    public var connectionWindowBytes = 4 << 20
    /// Calls in flight on one connection.
    public var streamsMax = 1024
    /// Bytes written but not yet taken by the socket before stream writers wait.
    public var unsentBytesMax = 1 << 20
    /// Quiet time before a PING, and time the peer has to answer it.
    public var keepaliveSeconds = 30
    public var keepaliveAnswerSeconds = 10
    /// Time the peer has for its HELLO.
    public var helloSeconds = 5
    /// Time in which a peer that takes nothing is given up.
    public var stalledWriteSeconds = 30

    /// Bytes of the meta part of one frame, and metadata pairs and their bytes in it. Fixed by the protocol.
    public static let metaBytesMax = 16_384
    public static let metadataPairsMax = 64
    public static let metadataBytesMax = 12_288
    /// Bytes of HELLO.
    public static let helloBytesMax = 4096
    /// Messages of one connection that wait to be read. Credit bounds their bytes and not their number, and each costs memory besides.
    static let queuedMessagesMax = 65_536
    /// Bytes of all incomplete messages of one connection together: several of the largest at once.
    static func partialBytesMax(messageBytesMax: Int) -> Int { max(32 << 20, 2 * messageBytesMax) }
    /// The longest quiet time before a PING that a peer may ask for.
    static let pingIntervalMsMax = 300_000
    /// Payload of one DATA frame under round robin.
    static let quantumBytes = 32 << 10

    public init() {}
}
