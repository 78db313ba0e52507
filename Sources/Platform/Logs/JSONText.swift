/// Builds one JSON value as bytes. Everything that could break a line, or a terminal that shows it, is escaped.
struct JSONText {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    init(capacity: Int = 512) { bytes.reserveCapacity(capacity) }

    var count: Int { bytes.count }
    var string: String { String(decoding: bytes, as: UTF8.self) }

    mutating func object(_ body: (inout JSONText) -> Void) { nested("{", "}", body) }
    mutating func array(_ body: (inout JSONText) -> Void) { nested("[", "]", body) }

    mutating func key(_ name: String) {
        separate()
        quote(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    /// A string, cut at a character boundary after `bytesMax` bytes and then ended by `…`.
    mutating func value(_ text: String, bytesMax: Int = .max) {
        separate()
        if text.utf8.count <= bytesMax {
            quote(text)
        } else {
            quote(text.cut(utf8Max: bytesMax) + "…")
        }
    }

    mutating func value(_ number: Int) { literal(String(number)) }
    mutating func value(_ flag: Bool) { literal(flag ? "true" : "false") }

    /// A number; JSON has no infinities or NaN, which become null.
    mutating func value(_ number: Double) { literal(number.isFinite ? number.description : "null") }

    mutating func field(_ name: String, _ text: String) {
        key(name)
        value(text)
    }

    private mutating func literal(_ text: String) {
        separate()
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func nested(_ open: Unicode.Scalar, _ close: Unicode.Scalar, _ body: (inout JSONText) -> Void) {
        separate()
        bytes.append(UInt8(ascii: open))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: close))
        needsComma = true
    }

    private mutating func quote(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": bytes.append(contentsOf: "\\\"".utf8)
            case "\\": bytes.append(contentsOf: "\\\\".utf8)
            case "\n": bytes.append(contentsOf: "\\n".utf8)
            case "\r": bytes.append(contentsOf: "\\r".utf8)
            case "\t": bytes.append(contentsOf: "\\t".utf8)
            default:
                if scalar.value >= 0x20 && scalar.value < 0x7F {
                    bytes.append(UInt8(truncatingIfNeeded: scalar.value))
                } else if scalar.breaksLinesOrTerminals {
                    let digits = String(scalar.value, radix: 16)
                    bytes.append(contentsOf: "\\u".utf8)
                    for _ in digits.utf8.count..<4 { bytes.append(UInt8(ascii: "0")) }
                    bytes.append(contentsOf: digits.utf8)
                } else {
                    bytes.append(contentsOf: UTF8.encode(scalar)!)
                }
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

extension Unicode.Scalar {
    /// C0 and C1 controls, and the separators and direction marks with which text can hide or forge lines.
    fileprivate var breaksLinesOrTerminals: Bool {
        switch value {
        case 0...0x1F, 0x7F...0x9F, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}

extension String {
    /// The longest prefix of whole characters that has at most `utf8Max` bytes.
    func cut(utf8Max: Int) -> String {
        guard utf8.count > utf8Max else { return self }
        var end = utf8.index(startIndex, offsetBy: max(0, utf8Max))
        // Step back to the start of a scalar.
        while end > startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
