internal import CUchardet

/// A document's text as UTF-8 and the encoding it came in, as a lower-case IANA name.
struct DecodedText {
    var bytes: [UInt8]
    var encoding: String
}

/// Finds out how text is encoded: byte order mark, strict UTF-8, the pattern of UTF-16, what the document declares, a guess.
struct TextDecoding {
    let charsets: Charsets

    /// The guess looks at no more than this, in bytes.
    private static let guessBytesMax = 262_144

    /// - Parameter declared: the encoding the document names in itself, as far as it can be read before decoding.
    func decode(_ input: UnsafeRawBufferPointer, declared: (UnsafeRawBufferPointer) -> String?) -> DecodedText {
        if let marked = Self.marked(input) { return marked }
        let utf8 = UTF8Check.count(in: input)
        // A few broken characters among many good ones: damaged UTF-8, not another encoding.
        if utf8.invalid == 0 || utf8.wellFormed >= 4 * utf8.invalid, !Self.looksLikeUTF16(input).either {
            return DecodedText(bytes: Self.repaired(input, isValid: utf8.invalid == 0), encoding: "utf-8")
        }
        let shape = Self.looksLikeUTF16(input)
        if shape.either { return Self.utf16(input, bigEndian: shape.bigEndian) }
        if let name = declared(input), let known = charsets.known(name),
            let bytes = charsets.convert(input, from: known)
        {
            return DecodedText(bytes: bytes, encoding: name.lowercased())
        }
        if let name = Self.guess(input), let known = charsets.known(name),
            let bytes = charsets.convert(input, from: known)
        {
            return DecodedText(bytes: bytes, encoding: known.lowercased())
        }
        let fallback = charsets.convert(input, from: "WINDOWS-1252")
        return DecodedText(bytes: fallback ?? Self.repaired(input, isValid: false), encoding: "windows-1252")
    }

    private static func marked(_ input: UnsafeRawBufferPointer) -> DecodedText? {
        if input.starts(with: [0xEF, 0xBB, 0xBF]) {
            let rest = UnsafeRawBufferPointer(rebasing: input[3...])
            return DecodedText(
                bytes: repaired(rest, isValid: UTF8Check.count(in: rest).invalid == 0), encoding: "utf-8")
        }
        if input.starts(with: [0xFF, 0xFE, 0, 0]) || input.starts(with: [0, 0, 0xFE, 0xFF]) { return utf32(input) }
        if input.starts(with: [0xFE, 0xFF]) {
            return utf16(UnsafeRawBufferPointer(rebasing: input[2...]), bigEndian: true)
        }
        if input.starts(with: [0xFF, 0xFE]) {
            return utf16(UnsafeRawBufferPointer(rebasing: input[2...]), bigEndian: false)
        }
        return nil
    }

    private static func repaired(_ input: UnsafeRawBufferPointer, isValid: Bool) -> [UInt8] {
        isValid ? Array(input) : Array(String(decoding: input, as: UTF8.self).utf8)
    }

    /// Latin text in UTF-16 has a NUL in every second byte.
    private static func looksLikeUTF16(_ input: UnsafeRawBufferPointer) -> (either: Bool, bigEndian: Bool) {
        var zeros = (even: 0, odd: 0)
        let sample = min(input.count, 4096) & ~1
        for index in stride(from: 0, to: sample, by: 2) {
            if input[index] == 0 { zeros.even += 1 }
            if input[index + 1] == 0 { zeros.odd += 1 }
        }
        let pairs = sample / 2
        let bigEndian = zeros.even * 10 > pairs * 3 && zeros.odd * 20 < pairs
        let littleEndian = zeros.odd * 10 > pairs * 3 && zeros.even * 20 < pairs
        return (bigEndian || littleEndian, bigEndian)
    }

    private static func utf16(_ input: UnsafeRawBufferPointer, bigEndian: Bool) -> DecodedText {
        let units = stride(from: 0, to: input.count & ~1, by: 2).lazy.map { index in
            let unit = input.loadUnaligned(fromByteOffset: index, as: UInt16.self)
            return bigEndian ? UInt16(bigEndian: unit) : UInt16(littleEndian: unit)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(input.count)
        var decoder = UTF16()
        var iterator = units.makeIterator()
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): bytes.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
            case .error: bytes.append(contentsOf: [0xEF, 0xBF, 0xBD])
            case .emptyInput: return DecodedText(bytes: bytes, encoding: bigEndian ? "utf-16be" : "utf-16le")
            }
        }
    }

    private static func utf32(_ input: UnsafeRawBufferPointer) -> DecodedText {
        let bigEndian = input[0] == 0
        var bytes: [UInt8] = []
        bytes.reserveCapacity(input.count)
        for index in stride(from: 4, to: input.count & ~3, by: 4) {
            let word = input.loadUnaligned(fromByteOffset: index, as: UInt32.self)
            let scalar = Unicode.Scalar(bigEndian ? UInt32(bigEndian: word) : UInt32(littleEndian: word)) ?? "\u{FFFD}"
            bytes.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
        }
        return DecodedText(bytes: bytes, encoding: bigEndian ? "utf-32be" : "utf-32le")
    }

    private static func guess(_ input: UnsafeRawBufferPointer) -> String? {
        guard let detector = uchardet_new() else { return nil }
        defer { uchardet_delete(detector) }
        let sample = UnsafeRawBufferPointer(rebasing: input.prefix(guessBytesMax))
        guard let start = sample.baseAddress,
            uchardet_handle_data(detector, start.assumingMemoryBound(to: CChar.self), sample.count) == 0
        else { return nil }
        uchardet_data_end(detector)
        let name = String(cString: uchardet_get_charset(detector))
        return name.isEmpty ? nil : name
    }

    /// `encoding="…"` of an XML declaration, or `charset=…` of an HTML meta element, in the first 1,024 bytes (as browsers look for it).
    static func declaredInMarkup(_ input: UnsafeRawBufferPointer) -> String? {
        let head = input.prefix(1024).map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 }
        for key in ["charset", "encoding"] {
            let name = Array(key.utf8)
            var start = 0
            while start + name.count < head.count {
                defer { start += 1 }
                guard head[start] == name[0], head[start...].starts(with: name) else { continue }
                var index = start + name.count
                while index < head.count, head[index] == 0x20 { index += 1 }
                guard index < head.count, head[index] == UInt8(ascii: "=") else { continue }
                index += 1
                while index < head.count, [0x20, 0x22, 0x27].contains(head[index]) { index += 1 }
                let value = head[index...].prefix { isNameByte($0) }
                if !value.isEmpty { return String(decoding: value, as: UTF8.self) }
            }
        }
        return nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "."): true
        default: false
        }
    }
}
