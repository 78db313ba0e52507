import Core
import NIOCore

@testable import RPC

/// Path variables, query parameters and a body that make one message, as the gateway reads them from strangers.
///
/// The first byte names a type, the second what the body is: 0 none, 1 the message, 2 a field. Then lines of text: the body, if there is
/// one; the name of its field, if it is one; and `KIND NAME=VALUE`, of which KIND is one letter: p path, f a field as JSON, d a default, any
/// other query.
extension FuzzTarget {
    static let binding = FuzzTarget(name: "binding", inputBytesMax: 4096) { bytes in
        var input = FuzzInput(bytes)
        let type = MessageTypes.all[Int(input.byte()) % MessageTypes.all.count]
        let bindings = bindings(form: input.byte() % 3, String(decoding: input.rest(), as: UTF8.self))
        let built: ByteBuffer
        do {
            built = try MessageJSON.build(type: type.name, bindings)
        } catch {
            let failure = error as? Failure
            let isCallers = failure?.code == .invalidArgument || failure?.code == .resourceExhausted
            try expect(isCallers && failure?.reason.isEmpty == false, "a bad request is answered with \(error)")
            return
        }
        let again = try MessageJSON.build(type: type.name, bindings)
        try expect(again == built, "the same request makes another \(type.name)")
        // Read as a service reads it; a key that a body and a path give both is there once then.
        let message: ByteBuffer
        do { message = try type.roundTrip(built) } catch {
            throw Finding("what was built is no \(type.name): \(error)")
        }
        // Everything in it came as text, so all of it can be said as JSON.
        let json: [UInt8]
        do { json = try MessageJSON.encode(message, type: type.name) } catch {
            throw Finding("what was built cannot be said in JSON: \(error)")
        }
        let back = try type.roundTrip(MessageJSON.decode(json, type: type.name))
        try expect(back == message, "\(type.name) changes: \(String(decoding: json, as: UTF8.self))")
    } seeds: {
        bindingSeeds
    }

    private static func bindings(form: UInt8, _ text: String) -> MessageBindings {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)[...]
        var bindings = MessageBindings()
        if form > 0 {
            bindings.body = ByteBuffer(string: lines.popFirst() ?? "")
            bindings.bodyField = form == 1 ? "*" : lines.popFirst() ?? ""
        }
        for line in lines {
            guard let kind = line.first else { continue }
            let pair = line.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let parameter = MessageBindings.Parameter(
                pair.first.map(String.init) ?? "", pair.count > 1 ? String(pair[1]) : "")
            switch kind {
            case "p": bindings.path.append(parameter)
            case "f": bindings.fields.append(parameter)
            case "d": bindings.defaults.append(parameter)
            default: bindings.query.append(parameter)
            }
        }
        return bindings
    }

    private static var bindingSeeds: [(name: String, bytes: [UInt8])] {
        func seed<M: WireMessage>(_ name: String, _ type: M.Type, _ form: UInt8, _ lines: String...) -> (
            String, [UInt8]
        ) {
            let place = UInt8(MessageTypes.all.firstIndex { $0.name == M.typeName } ?? 0)
            return (name, [place, form] + Array(lines.joined(separator: "\n").utf8))
        }
        return [
            seed(
                "query", SearchRequest.self, 0, "q query=a b", "q collections=x", "q collections=y", "q perDocument=3",
                "q filter.a.b=1", "q filter[c.d]=2", "q limit=1e1"),
            seed(
                "nested", UploadDocumentRequest.self, 0, "q start.origin=o", "q start.metadata[k]=v",
                "q start.sizeBytes=9"),
            seed("time", Document.self, 0, "q createdAt=1970-01-01T00:00:01.5Z", "q metadata.=x"),
            seed("body-path", SearchRequest.self, 1, #"{"query":"q","filter":{"a":"b"}}"#, "p query=other"),
            seed(
                "body-field", UploadDocumentResponse.self, 2, #"{"id":"d","receipt":{}}"#, "document",
                "q unchanged=true",
                "q job.id=j"),
            seed("fields", PasteDocumentRequest.self, 0, #"f metadata={"a":"b"}"#, "f title=\"t\"", "d origin=o"),
            seed("choice", UploadDocumentRequest.self, 0, "q data=AA", "q start.origin=o"),
            seed("twice", SearchRequest.self, 0, "q limit=1", "q limit=2"),
            seed("brackets", SearchRequest.self, 0, "q filter[a=1", "q filter[a]b=2", "q [=", "q ].[=x"),
            seed("bytes", Hit.self, 0, "q hash=AP8", "q score=-Infinity", "q end=18446744073709551615", "q page=0"),
        ]
    }
}
