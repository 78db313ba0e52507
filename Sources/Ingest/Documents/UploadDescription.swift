internal import Core
internal import RPC

/// What an upload says about itself, checked.
struct UploadDescription: Sendable {
    /// UTF-8 bytes of an origin.
    static let originBytesMax = 2048
    static let defaultCollection = "default"

    var collection: String
    var origin: String
    /// As given; empty when the document's own title is wanted.
    var title: String
    /// A hint.
    var mediaType: String
    /// nil when not known beforehand.
    var sizeBytes: Int?
    var sha256: [UInt8]?
    var metadata: [String: String]

    /// - Throws: `Failure` INVALID_ARGUMENT naming every refused field; TOO_LARGE for a declared size over the limit.
    init(_ start: UploadStart, bytesMax: Int) throws {
        guard start.sizeBytes <= UInt64(bytesMax) else { throw UploadSpool.tooLarge(bytesMax) }
        collection = start.collection.isEmpty ? Self.defaultCollection : start.collection
        origin = start.origin
        title = start.title
        mediaType = start.mediaType
        sizeBytes = start.sizeBytes == 0 ? nil : Int(start.sizeBytes)
        sha256 = start.sha256.isEmpty ? nil : start.sha256
        metadata = start.metadata
        var check = FieldChecks()
        check.text("origin", origin, bytes: 1...Self.originBytesMax)
        check.require(
            "sha256", start.sha256.isEmpty || start.sha256.count == 32, "must be the 32 bytes of a SHA-256, or empty")
        checkNames(&check)
        try check.finish()
    }

    /// - Parameter origin: not empty.
    init(paste request: PasteDocumentRequest, origin: String) throws {
        collection = request.collection.isEmpty ? Self.defaultCollection : request.collection
        self.origin = origin
        title = request.title
        mediaType = request.mediaType
        metadata = request.metadata
        var check = FieldChecks()
        check.text("origin", origin, bytes: 1...Self.originBytesMax)
        checkNames(&check)
        try check.finish()
    }

    private func checkNames(_ check: inout FieldChecks) {
        check.text("collection", collection, bytes: 1...Limits.nameBytesMax)
        check.text("title", title, bytes: 0...Limits.nameBytesMax)
        check.text("media_type", mediaType, bytes: 0...255)
        check.require(
            "metadata", metadata.count <= Limits.metadataPairsMax, "has more than \(Limits.metadataPairsMax) pairs")
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            // The key is not repeated in the message: it may be anything.
            check.require(
                "metadata",
                (1...Limits.nameBytesMax).contains(key.utf8.count) && value.utf8.count <= Limits.nameBytesMax,
                "has a key that is empty or a key or value of more than \(Limits.nameBytesMax) bytes")
        }
    }

    /// The title to show until the document tells its own: the given one, else the last component of the origin.
    var provisionalTitle: String {
        title.isEmpty ? Self.lastComponent(of: origin) : title
    }

    static func lastComponent(of origin: String) -> String {
        let last = origin.split(separator: "/").last.map(String.init) ?? origin
        return clippedTitle(last) ?? "untitled"
    }

    /// One line of at most 1,024 bytes; nil when nothing is left.
    static func clippedTitle(_ text: String) -> String? {
        var line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        while line.utf8.count > Limits.nameBytesMax {
            line.unicodeScalars.removeLast(max(1, (line.utf8.count - Limits.nameBytesMax) / 4))
        }
        return line.isEmpty ? nil : line
    }
}

/// Collects every refused field of a request, so that a caller learns of all at once.
struct FieldChecks {
    private var violations: [Failure.FieldViolation] = []

    mutating func require(_ field: String, _ holds: Bool, _ description: String) {
        guard !holds, !violations.contains(where: { $0.field == field }) else { return }
        violations.append(.init(field: field, description: description))
    }

    mutating func text(_ field: String, _ text: String, bytes: ClosedRange<Int>) {
        require(
            field, bytes.contains(text.utf8.count),
            text.isEmpty ? "is required" : "has \(text.utf8.count) bytes; at most \(bytes.upperBound) are accepted")
    }

    /// Parses an id; nil, noted, when it is none.
    mutating func id(_ field: String, _ text: String) -> UUIDv7? {
        let id = UUIDv7(text)
        require(field, id != nil, text.isEmpty ? "is required" : "is not an id (8-4-4-4-12 hex digits)")
        return id
    }

    /// - Throws: `Failure` INVALID_ARGUMENT when anything was refused.
    func finish() throws {
        guard let first = violations.first else { return }
        throw Failure(.invalidArgument, "\(first.field): \(first.description)", fields: violations)
    }
}
