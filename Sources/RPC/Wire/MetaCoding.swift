internal import Core

/// Reads the protobuf encoding of a meta part in place.
///
/// By hand, because every call pays for it twice: protobuf-c would allocate a struct for each meta part and Swift copy it again. The
/// tests hold it against protobuf-c on random and damaged input.
struct MetaReader {
    /// The bytes are not the protobuf encoding of the message that is read.
    struct Malformed: Error {}

    private var position: UnsafeRawPointer
    private let end: UnsafeRawPointer

    /// `bytes` must outlive the reader.
    init(_ bytes: UnsafeRawBufferPointer) {
        let base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
        position = base
        end = base + bytes.count
    }

    /// The next tag (field number shifted left by three, and wire type); nil at the end.
    @inline(__always)
    mutating func tag() throws(Malformed) -> UInt64? {
        guard position < end else { return nil }
        let tag = try varint(bytesMax: Self.tagBytesMax)
        guard tag >> 3 != 0, tag >> 32 == 0 else { throw Malformed() }
        return tag
    }

    @inline(__always)
    mutating func varint(bytesMax: Int = 10) throws(Malformed) -> UInt64 {
        guard position < end else { throw Malformed() }
        let first = position.load(as: UInt8.self)
        position += 1
        return first < 0x80 ? UInt64(first) : try longVarint(UInt64(first & 0x7F), bytesMax)
    }

    /// Tags have 32 bits: padded to more bytes than those take they are refused, as everywhere.
    private static let tagBytesMax = 5

    private mutating func longVarint(_ low: UInt64, _ bytesMax: Int) throws(Malformed) -> UInt64 {
        var result = low
        var shift: UInt64 = 7
        while shift < 7 * UInt64(bytesMax), position < end {
            let byte = position.load(as: UInt8.self)
            position += 1
            result |= UInt64(byte & 0x7F) &<< shift
            if byte < 0x80 { return result }
            shift += 7
        }
        throw Malformed()
    }

    /// The bytes of a length-delimited field; valid as long as what the reader reads.
    @inline(__always)
    mutating func bytes() throws(Malformed) -> UnsafeRawBufferPointer {
        let count = try varint()
        guard count <= UInt64(end - position) else { throw Malformed() }
        defer { position += Int(count) }
        return UnsafeRawBufferPointer(start: position, count: Int(count))
    }

    /// Text: UTF-8 without NUL, as everywhere in ACP/1.
    mutating func text() throws(Malformed) -> String {
        let bytes = try self.bytes()
        guard !bytes.isEmpty else { return "" }
        // Ids, keys and credentials are ASCII; `validating` takes its time even over those.
        if bytes.allSatisfy({ ($0 &- 1) < 0x7F }) {
            return String(unsafeUninitializedCapacity: bytes.count) {
                UnsafeMutableRawBufferPointer($0).copyMemory(from: bytes)
                return bytes.count
            }
        }
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else { throw Malformed() }
        return text
    }

    /// Passes over a field that this version does not know. Fields up to `known` it does: one of those in another wire type than its own is
    /// a mistake in one of two proto files, and refused as everywhere.
    mutating func skip(_ tag: UInt64, known: UInt64) throws(Malformed) {
        guard tag >> 3 > known else { throw Malformed() }
        switch tag & 7 {
        case 0: _ = try varint()
        case 1: try pass(8)
        case 2: _ = try bytes()
        case 5: try pass(4)
        default: throw Malformed()
        }
    }

    private mutating func pass(_ count: Int) throws(Malformed) {
        guard end - position >= count else { throw Malformed() }
        position += count
    }
}

/// Writes the protobuf encoding of a meta part to memory that is known to be large enough.
struct MetaWriter {
    private let start: UnsafeMutableRawPointer
    private var position: UnsafeMutableRawPointer

    init(_ start: UnsafeMutableRawPointer) {
        self.start = start
        position = start
    }

    var count: Int { position - start }

    @inline(__always)
    private mutating func byte(_ byte: UInt8) {
        position.storeBytes(of: byte, as: UInt8.self)
        position += 1
    }

    @inline(__always)
    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            byte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        byte(UInt8(rest))
    }

    /// A field with a number; the default 0 is left out.
    @inline(__always)
    mutating func number(_ field: UInt8, _ value: UInt64) {
        guard value != 0 else { return }
        byte(field << 3)
        varint(value)
    }

    /// A field with text; the default "" is left out.
    @inline(__always)
    mutating func text(_ field: UInt8, _ text: String) {
        guard !text.isEmpty else { return }
        var text = text
        text.withUTF8 { bytes(field, UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    mutating func bytes(_ field: UInt8, _ bytes: UnsafeRawBufferPointer) {
        byte(field << 3 | 2)
        varint(UInt64(bytes.count))
        if let base = bytes.baseAddress { position.copyMemory(from: base, byteCount: bytes.count) }
        position += bytes.count
    }

    /// Two eight-byte words, big endian, as one field of bytes.
    @inline(__always)
    mutating func words(_ field: UInt8, _ high: UInt64, _ low: UInt64) {
        byte(field << 3 | 2)
        byte(16)
        position.storeBytes(of: high.bigEndian, as: UInt64.self)
        position.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        position += 16
    }

    @inline(__always)
    mutating func word(_ field: UInt8, _ word: UInt64) {
        byte(field << 3 | 2)
        byte(8)
        position.storeBytes(of: word.bigEndian, as: UInt64.self)
        position += 8
    }

    /// A message field with two fields of bytes or text, 1 and 2: a metadata pair or a refused field.
    mutating func pair(_ field: UInt8, _ first: String, _ second: UnsafeRawBufferPointer) {
        var first = first
        first.withUTF8 { key in
            byte(field << 3 | 2)
            varint(UInt64(Self.fieldBytes(key.count) + Self.fieldBytes(second.count)))
            if !key.isEmpty { bytes(1, UnsafeRawBufferPointer(key)) }
            if !second.isEmpty { bytes(2, second) }
        }
    }

    /// Encoded size of a field with a number below 16 and `count` bytes; nothing for none.
    private static func fieldBytes(_ count: Int) -> Int { count == 0 ? 0 : 1 + varintBytes(count) + count }

    private static func varintBytes(_ value: Int) -> Int {
        var bytes = 1
        var rest = value >> 7
        while rest > 0 {
            bytes += 1
            rest >>= 7
        }
        return bytes
    }

    /// Room that a field of `count` bytes needs at most: tag, length of up to three bytes, content.
    static func room(_ count: Int) -> Int { count + 4 }
    /// Room that `pair` needs at most.
    static func pairRoom(_ first: Int, _ second: Int) -> Int { room(room(first) + room(second)) }
}

extension MetaReader.Malformed {
    /// For the caller whose meta part it was.
    func failure(_ type: String) -> Failure {
        Failure(
            .invalidArgument, reason: "MALFORMED_MESSAGE",
            "The meta part \(type) was refused: its bytes are not that protobuf message, or a text is not UTF-8 or holds a NUL."
        )
    }
}
