internal import CStemmer

/// Snowball's English stemmer. Not safe for use from two threads at once; the scanner that owns it is not shared.
struct Stemmer: ~Copyable {
    private let handle: OpaquePointer?

    /// Words stay as they are when the library knows no English (it always does in Debian).
    init() { handle = sb_stemmer_new("english", "UTF_8") }

    deinit {
        if let handle { sb_stemmer_delete(handle) }
    }

    /// Calls `body` with the stem of a lower-case ASCII word. The bytes are valid during the call only.
    @inline(__always)
    borrowing func withStem<R>(
        of word: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) throws -> R
    ) rethrows -> R {
        guard word.count > 2, let handle, let stem = sb_stemmer_stem(handle, word.baseAddress, Int32(word.count)) else {
            return try body(word)
        }
        let length = Int(sb_stemmer_length(handle))
        return try body(length > 0 ? UnsafeBufferPointer(start: stem, count: length) : word)
    }
}
