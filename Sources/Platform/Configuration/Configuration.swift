public import Core

/// The settings of this process: flags before environment before file before defaults, each with where it came from.
///
/// Every key is in `ConfigTable` and described in docs/configuration.md, which is generated from it.
public struct Configuration: Sendable {
    /// One setting as it was resolved.
    public struct Setting: Sendable {
        public let entry: ConfigEntry
        /// The checked value; nil when nobody set it and it has no default.
        public let value: ConfigValue?
        /// What `config show` prints: secrets and passwords are hidden; empty when there is no value.
        public let shown: String
        public let origin: ConfigOrigin
    }

    /// The file that was read, or would be if it existed.
    public let path: String
    /// What is odd but does not prevent a start: misspelt ACP_ variables, a readable secret.
    public let warnings: [String]
    private let settings: [String: Setting]

    /// All settings in the order of the table.
    public var all: [Setting] { ConfigTable.entries.compactMap { settings[$0.name] } }

    /// The value of a key; keys outside the table do not compile.
    public subscript<Value>(key: ConfigKey<Value>) -> Value {
        guard let value = key.convert(settings[key.entry.name]?.value) else {
            preconditionFailure("the table gives \(key.entry.name) a default of its own type")
        }
        return value
    }

    /// The setting called `name`.
    /// - Throws: `Failure` INVALID_ARGUMENT with a suggestion for an unknown name.
    public func setting(_ name: String) throws(Failure) -> Setting {
        guard let setting = settings[name] else { throw Self.unknown(name) }
        return setting
    }

    /// The file used without `--config`: `$ACP_CONFIG`, else `$XDG_CONFIG_HOME/acp/config.toml`, else `~/.config/acp/config.toml`.
    public static func defaultPath(environment: [String: String] = ProcessEnvironment.current) -> String {
        if let path = environment["ACP_CONFIG"], !path.isEmpty { return path }
        if let base = environment["XDG_CONFIG_HOME"], base.hasPrefix("/") { return base + "/acp/config.toml" }
        return (environment["HOME"] ?? "/root") + "/.config/acp/config.toml"
    }

    /// Reads the file and resolves every setting.
    /// - Parameters:
    ///   - flags: values given on the command line, by dotted key name.
    ///   - configPath: the file named by `--config`, which then has to exist; nil for the usual one.
    /// - Throws: `Failure` INVALID_ARGUMENT listing every bad value with its place, or what reading the file failed with.
    public static func load(
        flags: [String: String] = [:], configPath: String? = nil,
        environment: [String: String] = ProcessEnvironment.current
    ) throws(Failure) -> Configuration {
        let path = configPath ?? defaultPath(environment: environment)
        if configPath != nil { _ = try PlatformFile.readText(path, bytesMax: ConfigFile.fileBytesMax) }
        return try Configuration(flags: flags, environment: environment, file: try ConfigFile(path: path))
    }

    /// Resolves every setting from the given sources.
    /// - Throws: `Failure` INVALID_ARGUMENT listing every bad value with its place.
    public init(flags: [String: String], environment: [String: String], file: ConfigFile) throws(Failure) {
        var resolver = ConfigResolver(flags: flags, environment: environment, file: file)
        resolver.resolve()
        guard let first = resolver.problems.first else {
            path = file.path
            settings = resolver.settings
            warnings = resolver.warnings
            return
        }
        let others = resolver.problems.count - 1
        throw Failure(
            .invalidArgument, reason: "CONFIGURATION",
            first.description + "." + (others > 0 ? " (\(others) more below)" : ""),
            remedy: "Correct it; docs/configuration.md and `acp config show` list every setting.",
            fields: resolver.problems)
    }

    /// Writes values into the file at `path` and keeps its other lines. The file is replaced as one step, mode 0600.
    /// A nil value removes the setting.
    /// - Throws: `Failure` INVALID_ARGUMENT for an unknown key or a value that is not accepted (then nothing is written).
    public static func set(_ values: [(key: String, value: String?)], inFile path: String) throws(Failure) {
        var file = try ConfigFile(path: path)
        if let problem = file.problems.first {
            throw Failure(
                .failedPrecondition, reason: "CONFIGURATION", problem.description + ".",
                remedy: "Correct the line first.", fields: file.problems)
        }
        for (key, value) in values {
            guard let entry = ConfigTable.entry(named: key) else { throw unknown(key) }
            guard let value else {
                file.remove(key)
                continue
            }
            guard try entry.kind.accepts(value) else {
                throw .invalid(
                    field: key,
                    "\(entry.kind.shown(value).debugDescription) is not accepted; accepted: \(entry.kind.accepted).")
            }
            file.set(entry, literal: entry.kind.literal(for: value))
        }
        try PlatformFile.replace(path, with: file.text)
    }

    static func unknown(_ name: String) -> Failure {
        let suggestion = ConfigTable.suggestion(for: name).map { " Did you mean \($0)?" } ?? ""
        return .invalid(field: name, "there is no such setting.\(suggestion)")
    }
}
