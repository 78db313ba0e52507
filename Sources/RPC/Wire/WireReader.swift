internal import CACPProtos

/// A message that reads itself.
package protocol WireReadable {
    /// The message with every field at its default.
    init()
    /// Reads fields until the reader has no more; a field that is there already is replaced, appended to or merged into, as protobuf has it.
    mutating func read(from reader: inout WireReader)
}

/// Reads a message of protobuf's wire format straight into its Swift struct, by the rules of `acp_unpack`: the last value of a field
/// counts, fields that hold one message are merged, enums are open, unknown fields are passed over.
///
/// A problem is kept, not thrown: reading then comes to its end, with defaults for what was not read. How deep messages are nested is bounded
/// by their types, which may not contain themselves. Valid only inside `Codec.read`.
package struct WireReader {
    /// What an object on the heap takes besides its contents, with the allocator's rounding.
    private static let objectBytes = 48
    /// Texts up to here are stored in the `String` itself.
    private static let inlineTextBytes = 15

    private var at: UnsafePointer<UInt8>
    /// Of the message that is being read.
    private var end: UnsafePointer<UInt8>
    /// Bytes of memory that may still be taken.
    private var budget: Int
    private(set) var problem = ACP_UNPACK_OK

    init(_ bytes: UnsafeRawBufferPointer, budget: Int) {
        // Of no bytes there may be no address either; what stands there is not read.
        at = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? UnsafePointer(bitPattern: 1).unsafelyUnwrapped
        end = at + bytes.count
        self.budget = budget
    }

    private var isFine: Bool { problem == ACP_UNPACK_OK }

    @inline(never)
    private mutating func fail(_ problem: acp_unpack_result) {
        if isFine { self.problem = problem }
        at = end
    }

    /// Takes `count` times `bytes` from the budget.
    @inline(__always)
    mutating func charge(_ bytes: Int, times count: Int = 1) {
        let (product, overflow) = bytes.multipliedReportingOverflow(by: count)
        budget -= overflow ? budget : product
        if budget < 0 || overflow { fail(ACP_UNPACK_OVER_BUDGET) }
    }

    // MARK: Tags

    /// The next field: its number times eight and its wire type. nil at the end of the message.
    @inline(__always)
    package mutating func tag() -> UInt32? {
        guard at < end else { return nil }
        let byte = at.pointee
        guard byte < 0x80, byte >= 8 else { return longTag() }
        at += 1
        return UInt32(byte)
    }

    @inline(never)
    private mutating func longTag() -> UInt32? {
        let before = at
        let value = varint()
        if isFine, value >= 8, value >> 32 == 0, at - before <= 5 { return UInt32(truncatingIfNeeded: value) }
        fail(ACP_UNPACK_MALFORMED)
        return nil
    }

    /// Steps over the value of a field that the type does not have; one that it has came with a wire type that is not the field's.
    @inline(never)
    package mutating func skip(_ tag: UInt32, isKnown: Bool) {
        var bytes = 0
        switch tag & 7 {
        case 0: _ = varint()
        case 1: bytes = 8
        case 2: bytes = length()
        case 5: bytes = 4
        default: fail(ACP_UNPACK_MALFORMED)
        }
        if isKnown || bytes > end - at { return fail(ACP_UNPACK_MALFORMED) }
        at += bytes
    }

    // MARK: Values

    @inline(__always)
    package mutating func varint() -> UInt64 {
        if at < end {
            let byte = at.pointee
            if byte < 0x80 {
                at += 1
                return UInt64(byte)
            }
            if at + 1 < end, at[1] < 0x80 {
                let value = UInt64(byte & 0x7F) | UInt64(at[1]) << 7
                at += 2
                return value
            }
        }
        return longVarint()
    }

    @inline(never)
    private mutating func longVarint() -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<10 where at + index < end {
            let byte = at[index]
            value |= UInt64(byte & 0x7F) << UInt64(index * 7)
            if byte < 0x80 {
                at += index + 1
                return value
            }
        }
        fail(ACP_UNPACK_MALFORMED)
        return 0
    }

    @inline(__always)
    package mutating func fixed32() -> UInt32 { fixed() }

    @inline(__always)
    package mutating func fixed64() -> UInt64 { fixed() }

    @inline(__always)
    private mutating func fixed<T: FixedWidthInteger & BitwiseCopyable>() -> T {
        guard end - at >= MemoryLayout<T>.size else {
            fail(ACP_UNPACK_MALFORMED)
            return 0
        }
        defer { at += MemoryLayout<T>.size }
        return T(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: T.self))
    }

    /// A length that the message has bytes for.
    @inline(__always)
    private mutating func length() -> Int {
        let length = varint()
        guard length <= UInt64(end - at) else {
            fail(ACP_UNPACK_MALFORMED)
            return 0
        }
        return Int(length)
    }

    package mutating func string() -> String {
        let count = length()
        guard count > 0 else { return "" }
        let start = at
        at += count
        let found = acp_text_scan(start, count)
        if found != 0 {
            let result = acp_text_check(start, count)
            guard result == ACP_UNPACK_OK else {
                fail(result)
                return ""
            }
        }
        if count > Self.inlineTextBytes {
            charge(count + Self.objectBytes)
            guard isFine else { return "" }
        }
        let utf8 = UnsafeBufferPointer(start: start, count: count)
        return String(copying: UTF8Span(unchecked: utf8.span, isKnownASCII: found == 0))
    }

    package mutating func bytes() -> [UInt8] {
        let count = length()
        guard count > 0 else { return [] }
        charge(count + Self.objectBytes)
        guard isFine else { return [] }
        defer { at += count }
        return [UInt8](UnsafeBufferPointer(start: at, count: count))
    }

    // MARK: Messages

    /// Reads the fields of a message inside this one.
    @inline(__always)
    package mutating func message<M: WireReadable>(_ message: inout M) {
        let count = length()
        let outer = end
        end = at + count
        message.read(from: &self)
        end = isFine ? outer : at
    }

    @inline(__always)
    package mutating func message<M: WireReadable>(_ message: inout M?) {
        var read = message.take() ?? M()
        self.message(&read)
        message = read
    }

    // MARK: Repeated fields

    /// How many values with `tag` follow each other, the one at hand included: room for them is made once.
    private func run(_ tag: UInt32) -> Int {
        var ahead = self
        var count = 1
        ahead.at += ahead.length()
        while ahead.tag() == tag {
            ahead.at += ahead.length()
            guard ahead.isFine else { break }
            count += 1
        }
        return count
    }

    /// The values with `tag` from the one at hand on, each read by `read`.
    @inline(__always)
    private mutating func values<T>(_ tag: UInt32, _ values: inout [T], _ read: (inout WireReader) -> T) {
        var left = 1
        if values.isEmpty {
            left = run(tag)
            charge(MemoryLayout<T>.stride, times: left)
            charge(Self.objectBytes)
            guard isFine else { return }
            values.reserveCapacity(left)
        } else {
            // The field occurs in more than one place: the array grows as arrays do, and needs up to twice its size.
            charge(2 * MemoryLayout<T>.stride)
        }
        repeat {
            values.append(read(&self))
            left -= 1
        } while left > 0 && self.tag() != nil
    }

    package mutating func messages<M: WireReadable>(_ tag: UInt32, _ messages: inout [M]) {
        values(tag, &messages) { reader in
            var message = M()
            reader.message(&message)
            return message
        }
    }

    package mutating func strings(_ tag: UInt32, _ strings: inout [String]) { values(tag, &strings) { $0.string() } }

    package mutating func byteStrings(_ tag: UInt32, _ strings: inout [[UInt8]]) {
        values(tag, &strings) { $0.bytes() }
    }

    /// One number of a repeated field that has a tag for each.
    @inline(__always)
    package mutating func one<T>(_ values: inout [T], _ read: (inout WireReader) -> T) {
        charge(2 * MemoryLayout<T>.stride)
        guard isFine else { return }
        values.append(read(&self))
    }

    /// Numbers under one tag, of which each has at least `least` bytes.
    @inline(__always)
    package mutating func packed<T>(_ values: inout [T], least: Int, _ read: (inout WireReader) -> T) {
        let count = length()
        // Space of an array that grows.
        charge(2 * MemoryLayout<T>.stride, times: count / least)
        guard isFine else { return }
        let outer = end
        end = at + count
        while at < end { values.append(read(&self)) }
        end = isFine ? outer : at
    }

    /// The pairs with `tag` from the one at hand on, of which `pair` reads the fields of one. Of pairs with the same key the last one counts.
    @inline(__always)
    package mutating func map<K: Hashable, V>(
        _ tag: UInt32, _ map: inout [K: V], _ pair: (inout WireReader) -> (key: K, value: V)
    ) {
        // A table is at most three quarters full, and its size a power of two.
        let room = 3 * (MemoryLayout<K>.stride + MemoryLayout<V>.stride)
        let count = map.isEmpty ? run(tag) : 1
        charge(room, times: count)
        charge(Self.objectBytes)
        guard isFine else { return }
        withUnsafeTemporaryAllocation(of: (key: K, value: V).self, capacity: count) { pairs in
            var read = 0
            repeat {
                let bytes = length()
                let outer = end
                end = at + bytes
                pairs.initializeElement(at: read, to: pair(&self))
                end = isFine ? outer : at
                read += 1
            } while read < count && self.tag() != nil
            let found = UnsafeMutableBufferPointer(rebasing: pairs[..<read])
            // Made with all its pairs: room asked for beforehand is not specialised for the types.
            if map.isEmpty {
                map = Dictionary(found.lazy.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
            } else {
                for pair in found { map[pair.key] = pair.value }
            }
            found.deinitialize()
        }
    }
}

/// The number of a field of kind sint32.
@inline(__always)
package func unzigzag32(_ value: UInt64) -> Int32 {
    let half = UInt32(truncatingIfNeeded: value)
    return Int32(bitPattern: half >> 1 ^ (0 &- (half & 1)))
}

/// The number of a field of kind sint64.
@inline(__always)
package func unzigzag64(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1 ^ (0 &- (value & 1))) }
