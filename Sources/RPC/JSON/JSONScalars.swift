internal import Core

/// A JSON number as an exact integer: sign and magnitude. Fractions and exponents are accepted when the value is whole.
/// nil when it is not whole or does not fit 64 bits.
func exactInteger(_ number: UnsafeBufferPointer<UInt8>) -> (isNegative: Bool, magnitude: UInt64)? {
    var index = 0
    let isNegative = number.first == UInt8(ascii: "-")
    if isNegative { index += 1 }
    var magnitude: UInt64 = 0
    var overflow = false
    func add(_ digit: UInt8) {
        let (product, over) = magnitude.multipliedReportingOverflow(by: 10)
        let (sum, carry) = product.addingReportingOverflow(UInt64(digit - 0x30))
        magnitude = sum
        overflow = overflow || over || carry
    }
    while index < number.count, isDigit(number[index]) {
        add(number[index])
        index += 1
    }
    if index == number.count { return overflow ? nil : (isNegative, magnitude) }
    // The rare forms: 1.50e1, 100e-2, 3.0.
    let integerDigits = number[(isNegative ? 1 : 0)..<index]
    var fraction = number[index..<index]
    if number[index] == UInt8(ascii: ".") {
        let start = index + 1
        index = start
        while index < number.count, isDigit(number[index]) { index += 1 }
        fraction = number[start..<index]
    }
    var exponent = 0
    if index < number.count {
        index += 1
        let negative = number[index] == UInt8(ascii: "-")
        if negative || number[index] == UInt8(ascii: "+") { index += 1 }
        for digit in number[index...] { exponent = min(exponent * 10 + Int(digit - 0x30), 1_000_000) }
        if negative { exponent = -exponent }
    }
    let digits = Array(integerDigits) + Array(fraction)
    guard digits.contains(where: { $0 != 0x30 }) else { return (isNegative, 0) }
    let wholeCount = integerDigits.count + exponent
    guard wholeCount > 0, wholeCount <= digits.count + 20, !digits.dropFirst(wholeCount).contains(where: { $0 != 0x30 })
    else { return nil }
    magnitude = 0
    overflow = false
    for position in 0..<wholeCount {
        add(position < digits.count ? digits[position] : 0x30)
        if overflow { return nil }
    }
    return (isNegative, magnitude)
}

/// A JSON number, or the text `NaN`, `Infinity`, `-Infinity`, as a double; nil for anything else and for numbers beyond its range.
func doubleValue(_ text: UnsafeBufferPointer<UInt8>) -> Double? {
    if text.elementsEqual("NaN".utf8) { return .nan }
    if text.elementsEqual("Infinity".utf8) { return .infinity }
    if text.elementsEqual("-Infinity".utf8) { return -.infinity }
    guard numberLength(text) == text.count, let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite
    else { return nil }
    return value
}

// MARK: Base64

/// Number of bytes that base64 text stands for; nil when the length is impossible. Padding is optional.
func base64Capacity(_ text: UnsafeBufferPointer<UInt8>) -> Int? {
    var count = text.count
    if count > 0, text[count - 1] == UInt8(ascii: "=") {
        // Padded text comes in groups of four.
        guard count.isMultiple(of: 4) else { return nil }
        count -= text[count - 2] == UInt8(ascii: "=") ? 2 : 1
    }
    guard count & 3 != 1 else { return nil }
    return count / 4 * 3 + (count & 3 == 0 ? 0 : (count & 3) - 1)
}

/// Decodes the standard and the URL alphabet into `target`, which has room for `base64Capacity`. False for anything that is not
/// base64. Bits beyond the last byte are dropped, as the JSON mapping's conformance suite demands.
func decodeBase64(_ text: UnsafeBufferPointer<UInt8>, to target: UnsafeMutablePointer<UInt8>) -> Bool {
    var bits: UInt32 = 0
    var bitCount = 0
    var written = 0
    var end = text.count
    while end > 0, text.count - end < 2, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
    for index in 0..<end {
        let digit: UInt8
        switch text[index] {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = text[index] - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = text[index] - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = text[index] - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"), UInt8(ascii: "-"): digit = 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): digit = 63
        default: return false
        }
        bits = bits << 6 | UInt32(digit)
        bitCount += 6
        if bitCount >= 8 {
            bitCount -= 8
            target[written] = UInt8(truncatingIfNeeded: bits >> UInt32(bitCount))
            written += 1
            bits &= 1 << UInt32(bitCount) - 1
        }
    }
    return true
}

private let base64Digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

/// Appends padded base64 in the standard alphabet.
func appendBase64(_ bytes: UnsafeBufferPointer<UInt8>, to out: inout [UInt8]) {
    var index = 0
    while index < bytes.count {
        let left = min(3, bytes.count - index)
        var group = UInt32(bytes[index]) << 16
        if left > 1 { group |= UInt32(bytes[index + 1]) << 8 }
        if left > 2 { group |= UInt32(bytes[index + 2]) }
        for digit in 0..<4 {
            out.append(digit <= left ? base64Digits[Int(group >> UInt32(18 - 6 * digit)) & 63] : UInt8(ascii: "="))
        }
        index += 3
    }
}

// MARK: Timestamps

/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
let timestampSecondsRange: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

/// RFC 3339 with as many fractional digits as are needed: none, 3, 6 or 9. nil outside the range of the mapping.
func timestampText(seconds: Int64, nanos: Int32) -> String? {
    guard timestampSecondsRange.contains(seconds), (0..<1_000_000_000).contains(nanos) else { return nil }
    // Core writes six digits; take the civil part from it.
    let (microseconds, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
    guard !overflow else { return nil }
    var text = String(WallTime(microseconds: microseconds).rfc3339.prefix(19))
    if nanos != 0 {
        let digits = String(String(1_000_000_000 + nanos).dropFirst())
        let width = nanos % 1_000_000 == 0 ? 3 : nanos % 1000 == 0 ? 6 : 9
        text += "." + digits.prefix(width)
    }
    return text + "Z"
}

/// Parses RFC 3339 with up to nine fractional digits and any offset.
func timestampValue(_ text: UnsafeBufferPointer<UInt8>) -> (seconds: Int64, nanos: Int32)? {
    func number(_ start: Int, _ length: Int) -> Int64? {
        guard start + length <= text.count else { return nil }
        var value: Int64 = 0
        for index in start..<(start + length) {
            guard isDigit(text[index]) else { return nil }
            value = value * 10 + Int64(text[index] - 0x30)
        }
        return value
    }
    guard text.count >= 20, text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"), text[10] == UInt8(ascii: "T"),
        text[13] == UInt8(ascii: ":"), text[16] == UInt8(ascii: ":"),
        let year = number(0, 4), let month = number(5, 2), let day = number(8, 2), let hour = number(11, 2),
        let minute = number(14, 2), let second = number(17, 2),
        year >= 1, (1...12).contains(month), day >= 1, day <= daysInMonth(year, month), hour < 24, minute < 60,
        second < 60
    else { return nil }
    var index = 19
    var nanos: Int64 = 0
    if text[index] == UInt8(ascii: ".") {
        let start = index + 1
        index = start
        while index < text.count, isDigit(text[index]) { index += 1 }
        guard (1...9).contains(index - start), let value = number(start, index - start) else { return nil }
        nanos = value
        for _ in (index - start)..<9 { nanos *= 10 }
    }
    guard let offset = offsetSeconds(text, index, number) else { return nil }
    let seconds = daysSinceEpoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    return timestampSecondsRange.contains(seconds) ? (seconds, Int32(nanos)) : nil
}

private func offsetSeconds(
    _ text: UnsafeBufferPointer<UInt8>, _ index: Int, _ number: (Int, Int) -> Int64?
) -> Int64? {
    guard index < text.count else { return nil }
    if text[index] == UInt8(ascii: "Z") { return index + 1 == text.count ? 0 : nil }
    let isEast = text[index] == UInt8(ascii: "+")
    guard isEast || text[index] == UInt8(ascii: "-"), text.count == index + 6, text[index + 3] == UInt8(ascii: ":"),
        let hours = number(index + 1, 2), let minutes = number(index + 4, 2), hours < 24, minutes < 60
    else { return nil }
    return (isEast ? 1 : -1) * (hours * 3600 + minutes * 60)
}

private func daysInMonth(_ year: Int64, _ month: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
}

/// Howard Hinnant's `days_from_civil` for years from 1 on.
private func daysSinceEpoch(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
}
