/// The file that says which segments make up the index, what is retracted in them and up to which sequence: replaced as a whole by a rename.
struct Manifest {
    static let fileName = "manifest"
    static let bytesMax = 64 << 20
    private static let magic: UInt64 = 0x314E_414D_5043_41F5

    struct Entry {
        var fileNumber: UInt64
        var byteCount: UInt64
        /// The checksum at the file's end, so that no other file takes its place.
        var checksum: UInt64
        /// Retracted documents.
        var dead: [UInt64]
    }

    var sequence: Int64
    var nextFileNumber: UInt64
    var entries: [Entry]

    static func segmentName(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return "segment-" + String(repeating: "0", count: max(0, 16 - digits.count)) + digits
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(u64: Self.magic)
        bytes.append(u32: SegmentFormat.version)
        bytes.append(u32: Analyzer.version)
        bytes.append(u64: UInt64(bitPattern: sequence))
        bytes.append(u64: nextFileNumber)
        bytes.append(u32: UInt32(entries.count))
        for entry in entries {
            bytes.append(u64: entry.fileNumber)
            bytes.append(u64: entry.byteCount)
            bytes.append(u64: entry.checksum)
            bytes.append(u32: UInt32(entry.dead.count))
            for word in entry.dead { bytes.append(u64: word) }
        }
        let hash = bytes.withUnsafeBytes { XXH64.hash($0) }
        bytes.append(u64: hash)
        return bytes
    }

    init(sequence: Int64, nextFileNumber: UInt64, entries: [Entry]) {
        self.sequence = sequence
        self.nextFileNumber = nextFileNumber
        self.entries = entries
    }

    init(decoding encoded: [UInt8]) throws {
        self = try encoded.withUnsafeBytes { bytes in
            guard bytes.count >= 44 else { throw IndexDamage("the manifest is cut short") }
            let body = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 8)])
            guard try bytes.u64(at: bytes.count - 8) == XXH64.hash(body) else {
                throw IndexDamage("the checksum of the manifest does not match")
            }
            guard try body.u64(at: 0) == Self.magic else { throw IndexDamage("the manifest is no manifest") }
            guard try body.u32(at: 8) == SegmentFormat.version, try body.u32(at: 12) == Analyzer.version else {
                throw IndexDamage("the manifest was written by another version")
            }
            var entries: [Entry] = []
            var at = 36
            for _ in 0..<(try body.u32(at: 32)) {
                let words = Int(try body.u32(at: at + 24))
                guard words <= (body.count - at) / 8 else { throw IndexDamage("the manifest is cut short") }
                entries.append(
                    Entry(
                        fileNumber: try body.u64(at: at), byteCount: try body.u64(at: at + 8),
                        checksum: try body.u64(at: at + 16),
                        dead: try (0..<words).map { try body.u64(at: at + 28 + $0 * 8) }))
                at += 28 + words * 8
            }
            guard at == body.count else { throw IndexDamage("the manifest has bytes too many") }
            return Manifest(
                sequence: Int64(bitPattern: try body.u64(at: 16)), nextFileNumber: try body.u64(at: 24),
                entries: entries)
        }
    }
}
