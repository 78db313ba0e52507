internal import Core

/// Cuts a stream of bytes into JSON values that follow each other, with or without white space between them. What a value says is for
/// others to check: only brackets and quotes count here.
struct JSONSplitter {
    private let valueBytesMax: Int
    private var buffer: [UInt8] = []
    /// Where the value begins that is next.
    private var start = 0
    /// Up to where the buffer has been looked at.
    private var scanned = 0
    private var depth = 0
    private var isInString = false
    private var isEscaped = false

    init(valueBytesMax: Int = 8 << 20) { self.valueBytesMax = valueBytesMax }

    mutating func add(_ bytes: [UInt8]) {
        buffer.removeFirst(start)
        scanned -= start
        start = 0
        buffer += bytes
    }

    /// The next value that is complete; nil when more bytes are needed.
    /// - Throws: `Failure` RESOURCE_EXHAUSTED `TOO_LARGE`.
    mutating func next() throws -> [UInt8]? {
        while scanned < buffer.count {
            let byte = buffer[scanned]
            if isInString {
                scanned += 1
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                    if depth == 0 { return cut() }
                }
                continue
            }
            switch byte {
            case 0x20, 0x0A, 0x0D, 0x09:
                if depth == 0, scanned > start { return cut() }
                scanned += 1
                if depth == 0 { start = scanned }
            case UInt8(ascii: "\""), UInt8(ascii: "{"), UInt8(ascii: "["):
                // A word such as `null` ends where something else begins.
                if depth == 0, scanned > start { return cut() }
                scanned += 1
                if byte == UInt8(ascii: "\"") { isInString = true } else { depth += 1 }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                scanned += 1
                depth -= 1
                if depth <= 0 {
                    depth = 0
                    return cut()
                }
            default: scanned += 1
            }
        }
        guard buffer.count - start <= valueBytesMax else {
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "A JSON value of the input is larger than \(valueBytesMax) bytes.")
        }
        return nil
    }

    /// What is left when nothing follows and `next` has nothing more: a last word, or a value that is cut short; nil for nothing.
    mutating func rest() -> [UInt8]? {
        scanned = buffer.count
        return scanned > start ? cut() : nil
    }

    private mutating func cut() -> [UInt8] {
        defer { start = scanned }
        return Array(buffer[start..<scanned])
    }
}
