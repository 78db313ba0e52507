/// Strict RFC 8259 over bytes, pulled piece by piece: no value is ever built. UTF-8 is checked, surrogates must pair, control characters and NUL are refused.
struct JSONReader {
    private let base: UnsafePointer<UInt8>
    private let count: Int
    private(set) var position = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        base = bytes.baseAddress ?? UnsafePointer(emptyInput)
        count = bytes.count
    }

    /// A string literal as it stands between its quotes; checked.
    struct RawString {
        let bytes: UnsafeBufferPointer<UInt8>
        let hasEscapes: Bool
    }

    private func syntax(_ message: String) -> JSONProblem {
        JSONProblem(.syntax, "\(message) at byte \(position)")
    }

    /// The next byte that is not white space, without consuming it.
    mutating func peek() throws(JSONProblem) -> UInt8 {
        while position < count {
            switch base[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return base[position]
            }
        }
        throw syntax("the JSON ends too early")
    }

    mutating func expect(_ byte: UInt8) throws(JSONProblem) {
        guard try peek() == byte else { throw unexpected("'\(Character(UnicodeScalar(byte)))'") }
        position += 1
    }

    /// Consumes `byte` if it is next.
    mutating func take(_ byte: UInt8) throws(JSONProblem) -> Bool {
        guard try peek() == byte else { return false }
        position += 1
        return true
    }

    /// Only white space may be left.
    mutating func expectEnd() throws(JSONProblem) {
        while position < count {
            switch base[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: throw syntax("something follows the JSON value")
            }
        }
    }

    mutating func unexpected(_ wanted: String) -> JSONProblem {
        guard let next = try? peek() else { return syntax("the JSON ends too early") }
        let isVisible = (0x21...0x7E).contains(next)
        return syntax(
            isVisible
                ? "\(wanted) was expected, not '\(Character(UnicodeScalar(next)))'"
                : "\(wanted) was expected, not the byte \(next)")
    }

    /// Consumes a literal name such as `true`.
    mutating func literal(_ name: StaticString) throws(JSONProblem) {
        guard count - position >= name.utf8CodeUnitCount else { throw syntax("the JSON ends too early") }
        for index in 0..<name.utf8CodeUnitCount where base[position + index] != name.utf8Start[index] {
            throw syntax("'\(name)' was expected")
        }
        position += name.utf8CodeUnitCount
    }

    /// Consumes `null` if it is next.
    mutating func takeNull() throws(JSONProblem) -> Bool {
        guard try peek() == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    /// The bytes of a number, checked against the grammar.
    mutating func number() throws(JSONProblem) -> UnsafeBufferPointer<UInt8> {
        let first = try peek()
        guard first == UInt8(ascii: "-") || isDigit(first) else { throw unexpected("a number") }
        let start = position
        guard let length = numberLength(UnsafeBufferPointer(start: base + start, count: count - start)) else {
            throw syntax("a malformed number starts")
        }
        position = start + length
        return UnsafeBufferPointer(start: base + start, count: length)
    }

    /// A string literal.
    mutating func string() throws(JSONProblem) -> RawString {
        guard try take(UInt8(ascii: "\"")) else { throw unexpected("a string") }
        let start = position
        var hasEscapes = false
        while position < count {
            let byte = base[position]
            switch byte {
            case UInt8(ascii: "\""):
                let raw = UnsafeBufferPointer(start: base + start, count: position - start)
                position += 1
                return RawString(bytes: raw, hasEscapes: hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try skipEscape()
            case 0x20..<0x80: position += 1
            case 0..<0x20: throw syntax("a control character stands in a string")
            default:
                let length = utf8Length(UnsafeBufferPointer(start: base + position, count: count - position))
                guard length > 0 else { throw syntax("a string is not UTF-8") }
                position += length
            }
        }
        throw syntax("a string has no end")
    }

    /// Steps over `\n`, `\u0041` or a surrogate pair, checking it.
    private mutating func skipEscape() throws(JSONProblem) {
        guard position + 1 < count else { throw syntax("a string has no end") }
        switch base[position + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
        case UInt8(ascii: "u"):
            guard let unit = codeUnit(at: position) else { throw syntax("a malformed \\u escape starts") }
            guard unit != 0 else { throw syntax("a string holds a NUL character") }
            position += 6
            guard unit & 0xF800 == 0xD800 else { return }
            guard unit < 0xDC00, let low = codeUnit(at: position), low & 0xFC00 == 0xDC00 else {
                throw syntax("a surrogate stands alone")
            }
            position += 6
        default: throw syntax("an unknown escape starts")
        }
    }

    private func codeUnit(at position: Int) -> UInt16? {
        guard position + 6 <= count, base[position] == UInt8(ascii: "\\"), base[position + 1] == UInt8(ascii: "u")
        else { return nil }
        return hexUnit(base + position + 2)
    }
}

extension JSONReader.RawString {
    /// Writes the text to `target`, which has room for `bytes.count`; returns how many bytes it takes.
    func unescape(to target: UnsafeMutablePointer<UInt8>) -> Int {
        guard let source = bytes.baseAddress else { return 0 }
        guard hasEscapes else {
            target.update(from: source, count: bytes.count)
            return bytes.count
        }
        var read = 0
        var written = 0
        while read < bytes.count {
            guard source[read] == UInt8(ascii: "\\") else {
                target[written] = source[read]
                read += 1
                written += 1
                continue
            }
            let escape = source[read + 1]
            guard escape == UInt8(ascii: "u") else {
                target[written] = simpleEscape(escape)
                read += 2
                written += 1
                continue
            }
            var scalar = UInt32(hexUnit(source + read + 2) ?? 0)
            read += 6
            if scalar & 0xF800 == 0xD800 {
                scalar = 0x10000 + (scalar & 0x3FF) << 10 + UInt32(hexUnit(source + read + 2) ?? 0) & 0x3FF
                read += 6
            }
            for unit in UTF8.encode(UnicodeScalar(scalar) ?? "\u{FFFD}") ?? .init() {
                target[written] = unit
                written += 1
            }
        }
        return written
    }

    /// The text as a Swift string, for names and messages.
    var text: String {
        guard hasEscapes else { return String(decoding: bytes, as: UTF8.self) }
        return String(unsafeUninitializedCapacity: bytes.count) { unescape(to: $0.baseAddress ?? emptyInput) }
    }
}

private nonisolated(unsafe) let emptyInput = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)

private func simpleEscape(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "b"): 0x08
    case UInt8(ascii: "f"): 0x0C
    case UInt8(ascii: "n"): 0x0A
    case UInt8(ascii: "r"): 0x0D
    case UInt8(ascii: "t"): 0x09
    default: byte
    }
}

/// Four hex digits.
private func hexUnit(_ digits: UnsafePointer<UInt8>) -> UInt16? {
    var unit: UInt16 = 0
    for index in 0..<4 {
        let digit = digits[index]
        let value: UInt8
        switch digit {
        case 0x30...0x39: value = digit - 0x30
        case 0x61...0x66: value = digit - 0x61 + 10
        case 0x41...0x46: value = digit - 0x41 + 10
        default: return nil
        }
        unit = unit << 4 | UInt16(value)
    }
    return unit
}

func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

/// Length of the well-formed UTF-8 sequence that starts `bytes` (Unicode table 3-7); 0 when there is none.
func utf8Length(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    guard let lead = bytes.first else { return 0 }
    var low: UInt8 = 0x80
    var high: UInt8 = 0xBF
    let length: Int
    switch lead {
    case 0..<0x80: return 1
    case 0xC2...0xDF: length = 2
    case 0xE0...0xEF:
        length = 3
        if lead == 0xE0 { low = 0xA0 }
        if lead == 0xED { high = 0x9F }
    case 0xF0...0xF4:
        length = 4
        if lead == 0xF0 { low = 0x90 }
        if lead == 0xF4 { high = 0x8F }
    default: return 0
    }
    guard bytes.count >= length, (low...high).contains(bytes[1]) else { return 0 }
    for index in 2..<max(length, 2) where bytes[index] & 0xC0 != 0x80 { return 0 }
    return length
}

/// Length of the JSON number that starts `bytes`; nil when none does.
func numberLength(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    var index = 0
    func digits() -> Bool {
        let start = index
        while index < bytes.count, isDigit(bytes[index]) { index += 1 }
        return index > start
    }
    if index < bytes.count, bytes[index] == UInt8(ascii: "-") { index += 1 }
    if index < bytes.count, bytes[index] == UInt8(ascii: "0") {
        index += 1
        if index < bytes.count, isDigit(bytes[index]) { return nil }
    } else if !digits() {
        return nil
    }
    if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
        index += 1
        guard digits() else { return nil }
    }
    if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
        index += 1
        if index < bytes.count, bytes[index] == UInt8(ascii: "+") || bytes[index] == UInt8(ascii: "-") { index += 1 }
        guard digits() else { return nil }
    }
    return index
}
