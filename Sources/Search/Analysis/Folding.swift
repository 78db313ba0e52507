/// Case and diacritic folding without Foundation: what makes `Café`, `CAFÉ` and `cafe` one term.
enum Folding {
    /// One folded scalar: up to eight UTF-8 bytes, first byte lowest. Zero when the table does not know the scalar.
    typealias Packed = UInt64

    private struct Range {
        let first: UInt32
        let forms: [Packed]
    }

    private static let ranges: [Range] = FoldingTable.ranges.map { range in
        let bytes = UnsafeBufferPointer(start: range.forms.utf8Start, count: range.forms.utf8CodeUnitCount)
        let forms = bytes.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A }).map(pack)
        return Range(first: range.first, forms: forms)
    }

    private static func pack(_ form: Slice<UnsafeBufferPointer<UInt8>>) -> Packed {
        if form.elementsEqual([UInt8(ascii: "-")]) { return 0 }
        var packed: Packed = 0
        for (index, byte) in form.enumerated() { packed |= Packed(byte) << Packed(8 * index) }
        return packed
    }

    /// The folded form of a scalar of the table; nil when the table does not cover the scalar, zero when it is no letter.
    static func lookup(_ scalar: UInt32) -> Packed? {
        for range in ranges where scalar >= range.first && scalar - range.first < UInt32(range.forms.count) {
            return range.forms[Int(scalar - range.first)]
        }
        return nil
    }

    /// Appends the bytes of a packed form.
    static func append(_ packed: Packed, to bytes: inout [UInt8]) {
        var rest = packed
        while rest != 0 {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    /// Combining marks that searchers leave out: Latin and Greek accents, Hebrew points, Arabic vowel signs.
    static func isDroppedMark(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x0300...0x036F, 0x1AB0...0x1AFF, 0x1DC0...0x1DFF, 0x20D0...0x20FF, 0xFE20...0xFE2F: true
        case 0x0591...0x05BD, 0x05BF, 0x05C1...0x05C2, 0x05C4...0x05C5, 0x05C7: true
        case 0x0610...0x061A, 0x064B...0x065F, 0x0670: true
        default: false
        }
    }
}
