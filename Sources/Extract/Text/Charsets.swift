internal import CUchardet
internal import Glibc

/// Encodings other than Unicode's, loaded before the sandbox closes: a parser cannot open glibc's conversion modules.
struct Charsets {
    /// The 256 scalars of each single-byte encoding (0 for a byte that means nothing).
    private var singleByte: [String: [UInt32]] = [:]
    /// Open converters of the multi-byte ones. A forked child uses its own copy.
    private var multiByte: [String: iconv_t] = [:]

    private static let singleByteNames = [
        "ISO-8859-2", "ISO-8859-3", "ISO-8859-4", "ISO-8859-5", "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-10",
        "ISO-8859-13", "ISO-8859-14", "ISO-8859-15", "ISO-8859-16", "TIS-620", "KOI8-R", "KOI8-U",
        "WINDOWS-1250", "WINDOWS-1251", "WINDOWS-1252", "WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256",
        "WINDOWS-1257", "WINDOWS-1258", "MACINTOSH", "MAC-CYRILLIC", "MAC-CENTRALEUROPE", "IBM852", "IBM855", "IBM862",
        "IBM865", "IBM866", "VISCII",
    ]
    private static let multiByteNames = [
        "GB18030", "BIG5-HKSCS", "EUC-JP", "EUC-KR", "UHC", "SHIFT_JIS", "ISO-2022-JP", "ISO-2022-KR", "EUC-TW",
        "JOHAB",
    ]
    /// Names by which the same or a superset is known (WHATWG Encoding Standard, section 4.2, and uchardet's own).
    private static let aliases: [String: String] = [
        "ISO-8859-1": "WINDOWS-1252", "LATIN1": "WINDOWS-1252", "US-ASCII": "WINDOWS-1252", "ASCII": "WINDOWS-1252",
        "CP1252": "WINDOWS-1252", "ISO-8859-9": "WINDOWS-1254", "ISO-8859-11": "TIS-620", "WINDOWS-874": "TIS-620",
        "GB2312": "GB18030", "GBK": "GB18030", "BIG5": "BIG5-HKSCS", "SJIS": "SHIFT_JIS", "X-SJIS": "SHIFT_JIS",
        "KS_C_5601-1987": "UHC", "WINDOWS-949": "UHC", "CP1250": "WINDOWS-1250", "CP1251": "WINDOWS-1251",
        "X-MAC-CYRILLIC": "MAC-CYRILLIC", "ISO-8859-8-I": "ISO-8859-8",
    ]

    init() {
        for name in Self.singleByteNames {
            guard let converter = Self.open(name) else { continue }
            singleByte[name] = (0..<256).map { Self.scalar(of: UInt8($0), in: converter) }
            iconv_close(converter)
        }
        for name in Self.multiByteNames {
            if let converter = Self.open(name) { multiByte[name] = converter }
        }
    }

    private static func open(_ name: String) -> iconv_t? {
        let converter = iconv_open("UTF-8", name)
        return converter == iconv_t(bitPattern: -1) ? nil : converter
    }

    private static func scalar(of byte: UInt8, in converter: iconv_t) -> UInt32 {
        var source = CChar(bitPattern: byte)
        var target: (CChar, CChar, CChar, CChar, CChar, CChar, CChar, CChar) = (0, 0, 0, 0, 0, 0, 0, 0)
        let count = withUnsafeMutablePointer(to: &source) { source in
            withUnsafeMutableBytes(of: &target) { target in
                var input: UnsafeMutablePointer<CChar>? = source
                var inputLeft = 1
                var output = target.bindMemory(to: CChar.self).baseAddress
                var outputLeft = target.count
                // The second call flushes what stateful encodings hold back (VISCII and Windows-1255 compose).
                let converted = iconv(converter, &input, &inputLeft, &output, &outputLeft)
                let flushed = iconv(converter, nil, nil, &output, &outputLeft)
                return converted == -1 || flushed == -1 ? 0 : target.count - outputLeft
            }
        }
        let bytes = withUnsafeBytes(of: target) { Array($0.prefix(count)) }
        return String(decoding: bytes, as: UTF8.self).unicodeScalars.first.map(\.value) ?? 0
    }

    /// The name this knows an encoding by, or nil.
    func known(_ name: String) -> String? {
        let upper = name.uppercased()
        let name = Self.aliases[upper] ?? upper
        return singleByte[name] != nil || multiByte[name] != nil ? name : nil
    }

    /// Converts from an encoding that is `known`; what means nothing becomes U+FFFD.
    func convert(_ bytes: UnsafeRawBufferPointer, from name: String) -> [UInt8]? {
        if let table = singleByte[name] { return Self.convert(bytes, table) }
        if let converter = multiByte[name] { return Self.convert(bytes, converter) }
        return nil
    }

    private static func convert(_ bytes: UnsafeRawBufferPointer, _ table: [UInt32]) -> [UInt8] {
        let encoded = table.enumerated().map { byte, value in
            let scalar = byte == 0 ? "\0" : Unicode.Scalar(value).flatMap { $0.value == 0 ? nil : $0 } ?? "\u{FFFD}"
            return Array(UTF8.encode(scalar).map(Array.init) ?? [])
        }
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count + bytes.count / 4)
        for byte in bytes {
            if byte < 0x80 { text.append(byte) } else { text.append(contentsOf: encoded[Int(byte)]) }
        }
        return text
    }

    private static func convert(_ bytes: UnsafeRawBufferPointer, _ converter: iconv_t) -> [UInt8] {
        iconv(converter, nil, nil, nil, nil)
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 2)
        var chunk = [UInt8](repeating: 0, count: 16_384)
        // iconv takes a pointer it could write through, and does not.
        var input = UnsafeMutablePointer(mutating: bytes.bindMemory(to: CChar.self).baseAddress)
        var inputLeft = bytes.count
        while inputLeft > 0 {
            var stopped = 0
            let written = chunk.withUnsafeMutableBytes { chunk in
                var output = chunk.bindMemory(to: CChar.self).baseAddress
                var outputLeft = chunk.count
                let result = iconv(converter, &input, &inputLeft, &output, &outputLeft)
                stopped = result == -1 ? Int(errno) : 0
                return chunk.count - outputLeft
            }
            text.append(contentsOf: chunk[..<written])
            if stopped == Int(EILSEQ) || stopped == Int(EINVAL) {
                text.append(contentsOf: [0xEF, 0xBF, 0xBD])
                input = input?.advanced(by: 1)
                inputLeft -= 1
            } else if stopped != 0 && stopped != Int(E2BIG) {
                break
            }
        }
        return text
    }
}
