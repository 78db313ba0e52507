internal import Core
internal import NIOCore

extension RPCLimits {
    /// The HELLO that announces these limits.
    func hello(
        options: WireOptions, role: String, instance: String, build: String, credential: String = ""
    ) -> WireHello {
        var hello = WireHello()
        var features: Features = [.zstd]
        if options.checksums { features.insert(.crc32c) }
        hello.features = features.rawValue
        hello.minorMin = UInt32(Preface.minor)
        hello.minorMax = UInt32(Preface.minor)
        hello.frameBytesMax = UInt32(frameBytesMax)
        hello.messageBytesMax = UInt32(messageBytesMax)
        hello.streamWindowBytes = UInt32(streamWindowBytes)
        hello.connectionWindowBytes = UInt32(connectionWindowBytes)
        hello.streamsMax = UInt32(streamsMax)
        hello.pingIntervalMinMs = 1000
        hello.role = role
        hello.instance = instance
        hello.build = build
        hello.credential = credential
        return hello
    }
}

extension WireGoAway {
    init(_ code: StatusCode, _ message: String, lastStream: UInt32 = 0) {
        let major = UInt32(Preface.major)
        self.init(
            lastStream: lastStream, code: UInt32(code.rawValue), message: message, majorMin: major, majorMax: major)
    }
}

extension WireHeaders {
    init(_ metadata: Metadata) {
        self.init()
        self.metadata = metadata.pairs.map { pair in
            var item = WirePair()
            item.key = pair.key
            item.value = pair.value
            return item
        }
    }

    /// The pairs, checked like any metadata.
    func checkedMetadata() throws -> Metadata {
        var result = Metadata()
        for pair in metadata { try result.add(pair.key, bytes: pair.value) }
        return result
    }
}
