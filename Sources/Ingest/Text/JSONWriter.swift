/// Writes JSON text for `jsonb` columns. Reading it back is PostgreSQL's work, in SQL.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    var text: String { String(decoding: bytes, as: UTF8.self) }

    static func object(_ members: [String: String]) -> String {
        var json = JSONWriter()
        json.object { json in
            for (key, value) in members.sorted(by: { $0.key < $1.key }) { json.member(key, value) }
        }
        return json.text
    }

    mutating func object(_ body: (inout JSONWriter) -> Void) {
        separate()
        bytes.append(UInt8(ascii: "{"))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: "}"))
        needsComma = true
    }

    mutating func object(_ key: String, _ body: (inout JSONWriter) -> Void) {
        name(key)
        object(body)
    }

    mutating func array<Element>(
        _ key: String, _ elements: [Element], _ body: (inout JSONWriter, Element) -> Void
    ) {
        name(key)
        bytes.append(UInt8(ascii: "["))
        needsComma = false
        for element in elements { body(&self, element) }
        bytes.append(UInt8(ascii: "]"))
        needsComma = true
    }

    mutating func member(_ key: String, _ value: Int) {
        name(key)
        bytes.append(contentsOf: String(value).utf8)
        needsComma = true
    }

    mutating func member(_ key: String, _ value: Bool) {
        name(key)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
        needsComma = true
    }

    mutating func member(_ key: String, _ value: String) {
        name(key)
        string(value)
        needsComma = true
    }

    private mutating func name(_ key: String) {
        separate()
        string(key)
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = false
    }

    /// RFC 8259: quotation mark, backslash and control characters must be escaped.
    private mutating func string(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x00..<0x20:
                let digits = String(byte, radix: 16)
                bytes.append(contentsOf: "\\u00\(digits.count == 1 ? "0" : "")\(digits)".utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

extension JSONWriter {
    mutating func object(_ key: String, _ members: [String: String]) {
        object(key) { json in
            for (key, value) in members.sorted(by: { $0.key < $1.key }) { json.member(key, value) }
        }
    }
}
