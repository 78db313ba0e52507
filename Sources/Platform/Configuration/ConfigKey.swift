/// One setting: its name, what it accepts, its default and what it is for. The typed face of a `ConfigEntry`.
///
/// `configuration[.gatewayPort]` is an `Int` because the key says so; a wrong type does not compile.
public struct ConfigKey<Value: Sendable>: Sendable {
    /// The untyped entry that files, flags, documentation and `config show` work with.
    public let entry: ConfigEntry
    /// Turns the resolved value into the key's type; nil when the setting has no value.
    let convert: @Sendable (ConfigValue?) -> Value?

    init(_ entry: ConfigEntry, convert: @escaping @Sendable (ConfigValue?) -> Value?) {
        self.entry = entry
        self.convert = convert
    }
}

/// One row of the table of settings.
public struct ConfigEntry: Sendable {
    /// Dotted name as in the file, e.g. `gateway.port`.
    public let name: String
    public let kind: ConfigKind
    public let fallback: ConfigDefault
    /// One sentence for people.
    public let documentation: String

    /// `ACP_` and the name in upper case with `_` for `.` and `-`.
    public var environmentName: String {
        "ACP_"
            + String(
                decoding: name.utf8.map { byte in
                    switch byte {
                    case UInt8(ascii: "."), UInt8(ascii: "-"): UInt8(ascii: "_")
                    case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 32
                    default: byte
                    }
                }, as: UTF8.self)
    }

    /// The part before the first dot; nil for keys outside a section.
    var section: String? { name.firstIndex(of: ".").map { String(name[..<$0]) } }
    /// The part after the first dot, or the whole name.
    var leaf: String { name.firstIndex(of: ".").map { String(name[name.index(after: $0)...]) } ?? name }
}

/// What a setting accepts.
public enum ConfigKind: Sendable, Hashable {
    case string
    /// An absolute path, or one that starts with `~/`.
    case path
    /// One of these words.
    case choice([String])
    case integer(ClosedRange<Int>)
    case boolean
    /// A number with a unit (ms, s, m, h, d); the range is in milliseconds.
    case duration(milliseconds: ClosedRange<Int>)
    /// A number of bytes, with or without a unit (kB, MB, GB, KiB, MiB, GiB).
    case bytes(ClosedRange<Int>)
    /// An address with one of these schemes, or a reference to one (`env:NAME`, `file:/path`).
    case url(schemes: [String])
    /// Never shown; a reference (`env:NAME`, `file:/path`) or the secret itself.
    case secret
}

/// The value of a setting that nobody set.
public enum ConfigDefault: Sendable {
    case none(String)
    case text(String)
    /// Worked out from the environment and the other settings; the text says how.
    case computed(String, @Sendable (_ environment: [String: String], _ other: (String) -> String?) -> String?)

    /// How the documentation shows it.
    var shown: String {
        switch self {
        case .none(let meaning): meaning
        case .text(let text): text
        case .computed(let meaning, _): meaning
        }
    }
}

/// A value after its text was checked against the kind.
public enum ConfigValue: Sendable, Hashable {
    case text(String)
    case integer(Int)
    case boolean(Bool)
    case duration(Duration)
    case secret(Secret)
}

/// Where a value came from.
public enum ConfigOrigin: Sendable, Hashable, CustomStringConvertible {
    case flag
    case environment(String)
    case file(path: String, line: Int)
    case builtIn

    public var description: String {
        switch self {
        case .flag: "flag"
        case .environment(let name): "environment \(name)"
        case .file(let path, let line): "\(path):\(line)"
        case .builtIn: "default"
        }
    }
}

extension ConfigKey where Value == String {
    static func string(
        _ name: String, _ kind: ConfigKind = .string, _ fallback: ConfigDefault, _ documentation: String
    ) -> Self {
        Self(ConfigEntry(name: name, kind: kind, fallback: fallback, documentation: documentation)) { value in
            if case .text(let text)? = value { text } else { nil }
        }
    }
}

extension ConfigKey where Value == String? {
    /// A string that may be absent.
    static func optional(
        _ name: String, _ kind: ConfigKind = .string, unset meaning: String, _ documentation: String
    ) -> Self {
        Self(ConfigEntry(name: name, kind: kind, fallback: .none(meaning), documentation: documentation)) { value in
            if case .text(let text)? = value { .some(.some(text)) } else { .some(.none) }
        }
    }
}

extension ConfigKey where Value == Int {
    static func integer(
        _ name: String, _ range: ClosedRange<Int>, _ fallback: Int, _ documentation: String
    ) -> Self {
        Self(
            ConfigEntry(
                name: name, kind: .integer(range), fallback: .text(String(fallback)), documentation: documentation)
        ) { value in
            if case .integer(let number)? = value { number } else { nil }
        }
    }

    static func bytes(
        _ name: String, _ range: ClosedRange<Int>, _ fallback: String, _ documentation: String
    ) -> Self {
        Self(ConfigEntry(name: name, kind: .bytes(range), fallback: .text(fallback), documentation: documentation)) {
            value in
            if case .integer(let number)? = value { number } else { nil }
        }
    }
}

extension ConfigKey where Value == Bool {
    static func boolean(_ name: String, _ fallback: Bool, _ documentation: String) -> Self {
        Self(
            ConfigEntry(name: name, kind: .boolean, fallback: .text(String(fallback)), documentation: documentation)
        ) { value in
            if case .boolean(let flag)? = value { flag } else { nil }
        }
    }
}

extension ConfigKey where Value == Duration {
    static func duration(
        _ name: String, milliseconds: ClosedRange<Int>, _ fallback: String, _ documentation: String
    ) -> Self {
        Self(
            ConfigEntry(
                name: name, kind: .duration(milliseconds: milliseconds), fallback: .text(fallback),
                documentation: documentation)
        ) { value in
            if case .duration(let duration)? = value { duration } else { nil }
        }
    }
}

extension ConfigKey where Value == Secret? {
    static func secret(_ name: String, unset meaning: String, _ documentation: String) -> Self {
        Self(ConfigEntry(name: name, kind: .secret, fallback: .none(meaning), documentation: documentation)) { value in
            if case .secret(let secret)? = value { .some(.some(secret)) } else { .some(.none) }
        }
    }
}
