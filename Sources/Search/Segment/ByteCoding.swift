internal import Core

extension Array where Element == UInt8 {
    mutating func append(u32 value: UInt32) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    mutating func append(u64 value: UInt64) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// An identifier in the order of its bytes, so that comparing bytes compares identifiers.
    mutating func append(id: UUIDv7) {
        Swift.withUnsafeBytes(of: id.high.bigEndian) { append(contentsOf: $0) }
        Swift.withUnsafeBytes(of: id.low.bigEndian) { append(contentsOf: $0) }
    }

    /// LEB128.
    @inline(__always)
    mutating func append(varint value: UInt32) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// A string with its length before it.
    mutating func append(string: String) {
        var string = string
        string.withUTF8 { bytes in
            append(varint: UInt32(bytes.count))
            append(contentsOf: bytes)
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Integers at offsets the caller has checked against `count`; checked here again, because files are input.
    @inline(__always)
    func u32(at offset: Int) throws -> UInt32 {
        guard offset >= 0, offset <= count - 4 else { throw IndexDamage("an offset lies outside its section") }
        return loadUnaligned(fromByteOffset: offset, as: UInt32.self).littleEndian
    }

    @inline(__always)
    func u64(at offset: Int) throws -> UInt64 {
        guard offset >= 0, offset <= count - 8 else { throw IndexDamage("an offset lies outside its section") }
        return loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian
    }

    func id(at offset: Int) throws -> UUIDv7 {
        UUIDv7(high: try u64(at: offset).byteSwapped, low: try u64(at: offset + 8).byteSwapped)
    }

    /// The bytes of `count` from `offset`, both as they stand in a file.
    func slice(offset: UInt64, count length: UInt64) throws -> UnsafeRawBufferPointer {
        guard offset <= UInt64(count), length <= UInt64(count) - offset else {
            throw IndexDamage("a range lies outside its section")
        }
        return UnsafeRawBufferPointer(rebasing: self[Int(offset)..<Int(offset + length)])
    }
}

/// Reads varints and strings forward, never past the end.
struct ByteCursor {
    private var next: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>

    init(_ bytes: UnsafeRawBufferPointer) throws {
        // An empty section may have no address; any other stands for it, because it is never read.
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress ?? UnsafePointer(bitPattern: 1) else {
            throw IndexDamage("a section has no address")
        }
        next = base
        end = base + bytes.count
    }

    var remaining: Int { end - next }

    @inline(__always)
    mutating func varint() throws -> UInt32 {
        guard next < end else { throw IndexDamage("a number runs over its section") }
        let first = next.pointee
        next += 1
        if first < 0x80 { return UInt32(first) }
        return try longVarint(UInt32(first & 0x7F))
    }

    @inline(__always)
    private mutating func longVarint(_ low: UInt32) throws -> UInt32 {
        var value = low
        var shift: UInt32 = 7
        while next < end, shift < 32 {
            let byte = next.pointee
            next += 1
            value |= UInt32(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw IndexDamage("a number runs over its section")
    }

    @inline(__always)
    mutating func bytes(_ count: Int) throws -> UnsafeRawBufferPointer {
        guard count >= 0, count <= end - next else { throw IndexDamage("a string runs over its section") }
        defer { next += count }
        return UnsafeRawBufferPointer(start: next, count: count)
    }

    mutating func string() throws -> String {
        let bytes = try bytes(Int(try varint()))
        return String(decoding: bytes, as: UTF8.self)
    }
}
