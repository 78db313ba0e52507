internal import Core

/// Reading one value's text against its kind. Flags and environment give plain text; the file gives TOML literals.
extension ConfigKind {
    /// What is accepted, as it reads after "accepted: ".
    public var accepted: String {
        switch self {
        case .string: "text"
        case .path: "an absolute path, or one that starts with ~/"
        case .choice(let words): words.joined(separator: ", ")
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .boolean: "true or false"
        case .duration(let range):
            "a number with a unit (ms, s, m, h, d) from \(Self.shownDuration(range.lowerBound)) to "
                + Self.shownDuration(range.upperBound)
        case .bytes(let range):
            "bytes with an optional unit (kB, MB, GB, KiB, MiB, GiB) from \(range.lowerBound) to \(range.upperBound)"
        case .url(let schemes):
            schemes.map { "\($0)://…" }.joined(separator: ", ") + ", or a reference (env:NAME, file:/path)"
        case .secret: "env:NAME, file:/path, or the secret itself"
        }
    }

    /// Milliseconds in the largest unit that divides them.
    static func shownDuration(_ milliseconds: Int) -> String {
        for (unit, scale) in durationUnits.reversed() where milliseconds >= scale && milliseconds % scale == 0 {
            return "\(milliseconds / scale)\(unit)"
        }
        return "\(milliseconds)ms"
    }

    /// The value of plain text (flag, environment, default), or nil when it is not accepted.
    func value(ofText text: String, environment: [String: String]) throws(Failure) -> ConfigValue? {
        switch self {
        case .string: return text.isEmpty ? nil : .text(text)
        case .path: return Self.path(text, environment: environment).map(ConfigValue.text)
        case .choice(let words): return words.contains(text) ? .text(text) : nil
        case .integer(let range): return Int(text).flatMap { range.contains($0) ? .integer($0) : nil }
        case .boolean: return Bool(text).map(ConfigValue.boolean)
        case .duration(let range):
            return Self.scaled(text, units: Self.durationUnits, unitRequired: true)
                .flatMap { range.contains($0) ? .duration(.milliseconds($0)) : nil }
        case .bytes(let range):
            return Self.scaled(text, units: Self.byteUnits, unitRequired: false)
                .flatMap { range.contains($0) ? .integer($0) : nil }
        case .url(let schemes):
            let address = try Secret.follow(text, environment: environment)
            return schemes.contains { address.hasPrefix("\($0)://") && address.utf8.count > $0.utf8.count + 3 }
                ? .text(address) : nil
        case .secret: return text.isEmpty ? nil : .secret(Secret(text))
        }
    }

    /// Whether `text` may be written into the file; references are not followed, their target may come later.
    func accepts(_ text: String) throws(Failure) -> Bool {
        switch self {
        case .url, .secret: if Secret.isReference(text) { return true }
        default: break
        }
        return try value(ofText: text, environment: ProcessEnvironment.current) != nil
    }

    /// The plain text of a TOML literal when its type suits this kind, or nil.
    func text(of literal: TOMLLiteral) -> String? {
        switch (self, literal) {
        case (.boolean, .boolean(let flag)): String(flag)
        case (.integer, .integer(let number)), (.bytes, .integer(let number)): String(number)
        case (.integer, _), (.boolean, _): nil
        case (_, .string(let text)): text
        default: nil
        }
    }

    /// The TOML literal that `text(of:)` reads back.
    func literal(for text: String) -> String {
        switch self {
        case .integer, .boolean: text
        case .bytes where Int(text) != nil: text
        default: TOMLLiteral.quoted(text)
        }
    }

    private static let durationUnits: [(String, Int)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]
    private static let byteUnits: [(String, Int)] = [
        ("B", 1), ("kB", 1000), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000),
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30),
    ]

    private static func scaled(_ text: String, units: [(String, Int)], unitRequired: Bool) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int(digits) else { return nil }
        var unit = text[digits.endIndex...]
        while unit.first == " " { unit.removeFirst() }
        if unit.isEmpty { return unitRequired && number != 0 ? nil : number }
        guard let scale = units.first(where: { $0.0 == unit })?.1 else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: scale)
        return overflow ? nil : product
    }

    private static func path(_ text: String, environment: [String: String]) -> String? {
        if text.hasPrefix("/") { return text }
        guard text.hasPrefix("~/"), let home = environment["HOME"], !home.isEmpty else { return nil }
        return home + text.dropFirst(1)
    }

    /// The same text without what must not be shown: secrets, and the password inside an address.
    func shown(_ text: String) -> String {
        switch self {
        case .secret: Secret(text).shown
        case .url: Self.withoutPassword(text)
        default: text
        }
    }

    private static func withoutPassword(_ url: String) -> String {
        guard let scheme = url.firstRange(of: "://") else { return url }
        let rest = url[scheme.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        var shown = url
        if let at = authority.lastIndex(of: "@"), let colon = authority[..<at].firstIndex(of: ":") {
            shown = url[...colon] + "***" + url[at...]
        }
        guard let parameter = shown.firstRange(of: "password=") else { return shown }
        let end = shown[parameter.upperBound...].firstIndex(of: "&") ?? shown.endIndex
        return shown[..<parameter.upperBound] + "***" + shown[end...]
    }
}
