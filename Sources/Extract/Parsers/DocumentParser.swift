/// Reads one format.
protocol DocumentParser {
    /// The IANA name of the format.
    var mediaType: String { get }
    /// The library behind it, and its version: part of a revision's provenance.
    var name: String { get }
    var version: String { get }

    /// Writes the document's frames from `document` to `end`.
    func parse(_ input: UnsafeRawBufferPointer, limits: ParseLimits, into writer: FrameWriter) throws(ParseFailure)
}

/// What one document may use.
struct ParseLimits {
    var memoryBytesMax: UInt64
    var cpuSecondsMax: UInt32
    var outputBytesMax: UInt64
    var pagesMax: Int
    var blocksMax: Int
    var nestingMax: Int
}

/// Why a document cannot be read. Travels as an ExtractFailure frame; holds no text of the document.
struct ParseFailure: Error {
    var reason: String
    var message: String

    init(_ reason: String, _ message: String) {
        self.reason = reason
        self.message = message
    }

    static func tooLarge(_ message: String) -> ParseFailure { ParseFailure("TOO_LARGE", message) }
}
