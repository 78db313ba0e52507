import Core
import NIOCore

@testable import RPC

/// The decoders of meta parts that are made by hand, held against protobuf-c with the generated code: the same bytes must be accepted, with the
/// same values. What metadata refuses for its own rules is refused by both.
enum MetaComparison {
    /// What differs for these bytes; nil when nothing does.
    static func request(_ bytes: [UInt8]) -> String? {
        let byHand = Result { () throws -> (meta: RequestMeta, path: String) in
            try bytes.withUnsafeBytes {
                var meta = RequestMeta()
                let path = try meta.decode($0)
                return (meta, try RequestMeta.text(ofPath: path))
            }
        }
        let generated = Result { () throws -> (request: WireRequest, metadata: Metadata) in
            let request = try WireRequest.decode(ByteBuffer(bytes: bytes))
            return (request, try metadata(request.metadata))
        }
        guard case .success(let (meta, path)) = byHand, case .success(let (request, metadata)) = generated else {
            return acceptance(byHand, generated)
        }
        var trace: TraceContext?
        if request.traceID.count == 16, request.spanID.count == 8, request.traceID.contains(where: { $0 != 0 }),
            request.spanID.contains(where: { $0 != 0 })
        {
            trace = TraceContext(
                traceHigh: word(request.traceID[..<8]), traceLow: word(request.traceID[8...]),
                span: word(request.spanID[...]), flags: UInt8(truncatingIfNeeded: request.traceFlags),
                state: request.traceState)
        }
        return differences([
            ("path", path == request.path), ("timeout", meta.timeoutMicroseconds == request.timeoutUs),
            ("request id", meta.requestID == request.requestID),
            ("correlation id", meta.correlationID == request.correlationID),
            ("key", meta.idempotencyKey == request.idempotencyKey), ("attempt", meta.attempt == request.attempt),
            ("credential", meta.credential == request.credential), ("metadata", meta.metadata == metadata),
            ("trace", meta.trace == trace && meta.trace?.state == trace?.state),
        ])
    }

    static func status(_ bytes: [UInt8]) -> String? {
        let byHand = Result { try bytes.withUnsafeBytes { try StatusMeta.decode($0) } }
        let generated = Result { () throws -> (status: WireStatus, metadata: Metadata) in
            let status = try WireStatus.decode(ByteBuffer(bytes: bytes))
            return (status, try metadata(status.metadata))
        }
        guard case .success(let meta) = byHand, case .success(let (status, metadata)) = generated else {
            return acceptance(byHand, generated)
        }
        var same = [
            ("server time", meta.serverMicroseconds == status.serverUs),
            ("queue time", meta.queueMicroseconds == status.queueUs), ("refused", meta.isRefused == status.refused),
            ("metadata", meta.metadata == metadata), ("success", (meta.failure == nil) == (status.code == 0)),
        ]
        if let failure = meta.failure {
            let code = StatusCode(rawValue: Int(status.code)) ?? .unknown
            same += [
                ("code", failure.code == code), ("message", failure.message == status.message),
                ("reason", failure.reason == status.reason), ("remedy", failure.remedy == status.remedy),
                ("wait", failure.retryAfterMs == status.retryAfterMs),
                (
                    "fields",
                    failure.fields.map(\.field) == status.fields.map(\.field)
                        && failure.fields.map(\.description) == status.fields.map(\.description)
                ),
            ]
        }
        return differences(same)
    }

    private static func metadata(_ pairs: [WirePair]) throws -> Metadata {
        var metadata = Metadata()
        for pair in pairs { try metadata.add(pair.key, bytes: pair.value) }
        return metadata
    }

    private static func word(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func differences(_ same: [(name: String, isSame: Bool)]) -> String? {
        let names = same.filter { !$0.isSame }.map(\.name)
        return names.isEmpty ? nil : "these differ: \(names.joined(separator: ", "))"
    }

    private static func acceptance<A, B>(_ byHand: Result<A, any Error>, _ generated: Result<B, any Error>) -> String? {
        switch (byHand, generated) {
        case (.success, .failure(let error)): "only accepted by hand; protobuf-c says: \(error)"
        case (.failure(let error), .success): "only refused by hand: \(error)"
        default: nil
        }
    }
}
