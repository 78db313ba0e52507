internal import CACPProtos
internal import NIOCore

/// A message that writes itself.
package protocol WireWritable {
    /// Writes the fields, the one with the highest number first.
    func write(to writer: inout WireWriter)
}

/// Writes a message in protobuf's wire format from its end to its beginning: what is inside a message is there before its length has to
/// be written, so that nothing is measured first.
///
/// As `acp_pack` does for C structs: defaults are left out, so that equal messages have equal bytes. Valid only inside `Codec.write`.
package struct WireWriter {
    private static let roomMin = 1024
    /// Bytes of the longest varint.
    private static let varintMax = 10
    /// What a tag and a number or length take.
    private static let headMax = 2 * varintMax

    private let arena: UnsafeMutablePointer<acp_arena>
    private var start: UnsafeMutableRawPointer
    private var end: UnsafeMutableRawPointer
    /// The first byte written.
    private var at: UnsafeMutableRawPointer

    init(arena: UnsafeMutablePointer<acp_arena>) {
        self.arena = arena
        // The rest of the arena's block, as far as it goes.
        let room = max(acp_arena_room(arena), Self.roomMin)
        start = Self.take(room, arena)
        end = start + room
        at = end
    }

    private static func take(_ bytes: Int, _ arena: UnsafeMutablePointer<acp_arena>) -> UnsafeMutableRawPointer {
        guard let memory = acp_arena_take(arena, bytes) else {
            preconditionFailure("out of memory while packing a message")
        }
        return memory
    }

    var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: at, count: count) }

    private var count: Int { end - at }

    // MARK: Bytes

    @inline(__always)
    private mutating func ensure(_ bytes: Int) {
        if at - start < bytes { grow(bytes) }
    }

    @inline(never)
    private mutating func grow(_ bytes: Int) {
        let room = (count + bytes) * 2
        let larger = Self.take(room, arena)
        let moved = larger + room - count
        moved.copyMemory(from: at, byteCount: count)
        (start, end, at) = (larger, larger + room, moved)
    }

    /// There must be room.
    @inline(__always)
    private mutating func put(_ value: UInt64) {
        if value < 0x80 {
            at -= 1
            at.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        } else {
            putLong(value)
        }
    }

    private mutating func putLong(_ value: UInt64) {
        let width = (63 - value.leadingZeroBitCount) / 7 + 1
        at -= width
        var target = at
        var rest = value
        while rest >= 0x80 {
            target.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
            target += 1
            rest >>= 7
        }
        target.storeBytes(of: UInt8(truncatingIfNeeded: rest), as: UInt8.self)
    }

    /// Bytes with their length; there is room for a tag before them.
    @inline(__always)
    private mutating func put(_ bytes: UnsafeRawBufferPointer) {
        ensure(bytes.count + Self.headMax)
        at -= bytes.count
        if let base = bytes.baseAddress { at.copyMemory(from: base, byteCount: bytes.count) }
        put(UInt64(bytes.count))
    }

    @inline(__always)
    private mutating func put(_ text: String) {
        let isDone: Void? = text.utf8.withContiguousStorageIfAvailable { put(UnsafeRawBufferPointer($0)) }
        guard isDone == nil else { return }
        var native = text
        native.withUTF8 { put(UnsafeRawBufferPointer($0)) }
    }

    private enum WireType: UInt64 { case varint = 0, fixed64, lengthDelimited, fixed32 = 5 }

    @inline(__always)
    private mutating func tag(_ number: UInt64, _ type: WireType) { put(number << 3 | type.rawValue) }

    // MARK: Single fields

    /// - Parameter always: writes the default too, as for a member of a oneof.
    @inline(__always)
    package mutating func varint(_ number: UInt64, _ value: UInt64, always: Bool = false) {
        guard value != 0 || always else { return }
        ensure(Self.headMax)
        put(value)
        tag(number, .varint)
    }

    @inline(__always)
    package mutating func fixed32(_ number: UInt64, _ value: UInt32, always: Bool = false) {
        guard value != 0 || always else { return }
        ensure(Self.headMax)
        put(fixed32: value)
        tag(number, .fixed32)
    }

    @inline(__always)
    package mutating func fixed64(_ number: UInt64, _ value: UInt64, always: Bool = false) {
        guard value != 0 || always else { return }
        ensure(Self.headMax)
        put(fixed64: value)
        tag(number, .fixed64)
    }

    @inline(__always)
    package mutating func string(_ number: UInt64, _ value: String, always: Bool = false) {
        guard !value.isEmpty || always else { return }
        put(value)
        tag(number, .lengthDelimited)
    }

    @inline(__always)
    package mutating func bytes(_ number: UInt64, _ value: [UInt8], always: Bool = false) {
        guard !value.isEmpty || always else { return }
        value.withUnsafeBytes { put($0) }
        tag(number, .lengthDelimited)
    }

    @inline(__always)
    package mutating func message(_ number: UInt64, _ message: some WireWritable) {
        let before = count
        message.write(to: &self)
        end(number, since: before)
    }

    /// Writes the length of what came after `before` and its tag.
    @inline(__always)
    private mutating func end(_ number: UInt64, since before: Int) {
        ensure(Self.headMax)
        put(UInt64(count - before))
        tag(number, .lengthDelimited)
    }

    // MARK: Repeated fields

    package mutating func messages<M: WireWritable>(_ number: UInt64, _ messages: [M]) {
        messages.withUnsafeBufferPointer { messages in
            let first = UnsafeMutablePointer(mutating: messages.baseAddress)
            for index in (0..<messages.count).reversed() { element(number, &first.unsafelyUnwrapped[index]) }
        }
    }

    /// One of several messages. `inout`, for a copy would retain and release all that is in it; not inlined, for then it is one.
    @inline(never)
    private mutating func element<M: WireWritable>(_ number: UInt64, _ message: inout M) {
        self.message(number, message)
    }

    /// Every value with a tag of its own.
    @inline(__always)
    package mutating func each<T>(_ values: [T], _ write: (inout WireWriter, T) -> Void) {
        for index in stride(from: values.count - 1, through: 0, by: -1) { write(&self, values[index]) }
    }

    /// Numbers under one tag; `put` writes one.
    @inline(__always)
    package mutating func packed<T>(_ number: UInt64, _ values: [T], _ put: (inout WireWriter, T) -> Void) {
        guard !values.isEmpty else { return }
        let before = count
        for value in values.reversed() {
            ensure(Self.headMax)
            put(&self, value)
        }
        end(number, since: before)
    }

    @inline(__always)
    package mutating func put(varint value: UInt64) { put(value) }

    @inline(__always)
    package mutating func put(fixed32 value: UInt32) {
        at -= 4
        at.storeBytes(of: value.littleEndian, as: UInt32.self)
    }

    @inline(__always)
    package mutating func put(fixed64 value: UInt64) {
        at -= 8
        at.storeBytes(of: value.littleEndian, as: UInt64.self)
    }

    /// Pairs in the order of their keys, so that equal messages have equal bytes. `write` writes one: value, then key.
    @inline(__always)
    package mutating func map<K: Hashable, V>(
        _ number: UInt64, _ map: [K: V], by precedes: (K, K) -> Bool, _ write: (inout WireWriter, K, V) -> Void
    ) {
        func pair(_ pair: (key: K, value: V), _ writer: inout WireWriter) {
            let before = writer.count
            write(&writer, pair.key, pair.value)
            writer.end(number, since: before)
        }
        var pairs = map.makeIterator()
        guard let first = pairs.next() else { return }
        guard let second = pairs.next() else { return pair(first, &self) }
        // Most maps are small: two need no array to be sorted.
        if map.count == 2 {
            let isSorted = precedes(first.key, second.key)
            pair(isSorted ? second : first, &self)
            pair(isSorted ? first : second, &self)
        } else {
            for next in map.sorted(by: { precedes($1.key, $0.key) }) { pair(next, &self) }
        }
    }
}

/// Signed numbers of the kinds sint32 and sint64: small ones, negative or not, take few bytes.
@inline(__always)
package func zigzag(_ value: Int32) -> UInt64 { UInt64(UInt32(bitPattern: value << 1 ^ value >> 31)) }

@inline(__always)
package func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }

/// The order of texts in a map: by their bytes.
package func textPrecedes(_ left: String, _ right: String) -> Bool { left.utf8.lexicographicallyPrecedes(right.utf8) }
