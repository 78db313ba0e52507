internal import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// Works out every setting from its sources and collects everything that is wrong, so that one run names all of it.
struct ConfigResolver {
    let flags: [String: String]
    let environment: [String: String]
    let file: ConfigFile
    private(set) var settings: [String: Configuration.Setting] = [:]
    private(set) var problems: [Failure.FieldViolation] = []
    private(set) var warnings: [String] = []

    /// ACP_ variables that are not settings: the configuration file itself and where tests find built programs.
    private static let otherVariables: Set<String> = ["ACP_CONFIG", "ACP_BIN_DIR"]

    init(flags: [String: String], environment: [String: String], file: ConfigFile) {
        self.flags = flags
        self.environment = environment
        self.file = file
        problems = file.problems
    }

    mutating func resolve() {
        var fromFile: [String: (literal: TOMLLiteral, line: Int)] = [:]
        for (key, literal, line) in file.assignments {
            if ConfigTable.entry(named: key) == nil {
                reject(key, at: "\(file.path):\(line)", Self.unknownText(key))
            }
            fromFile[key] = (literal, line)
        }
        for name in flags.keys.sorted() where ConfigTable.entry(named: name) == nil {
            reject(name, at: "flag", Self.unknownText(name))
        }
        // Defaults that are computed from other settings come after them in a second pass.
        for entry in ConfigTable.entries { resolve(entry, fromFile: fromFile[entry.name]) }
        for entry in ConfigTable.entries {
            guard case .computed(_, let compute) = entry.fallback, settings[entry.name] == nil else { continue }
            let text = compute(environment) { settings[$0]?.shown }
            guard let text else {
                // The setting it is computed from was refused above: one mistake, one message.
                if !problems.isEmpty { continue }
                reject(entry.name, at: "default", "\(entry.name) has no default here (HOME is not set); set it")
                continue
            }
            accept(entry, text: text, origin: .builtIn, at: "default")
        }
        warnAboutVariables()
        warnAboutReadableSecrets()
        warnAboutFlags()
    }

    private mutating func resolve(_ entry: ConfigEntry, fromFile: (literal: TOMLLiteral, line: Int)?) {
        if let text = flags[entry.name] {
            accept(entry, text: text, origin: .flag, at: "flag")
        } else if let text = environment[entry.environmentName], !text.isEmpty {
            let name = entry.environmentName
            accept(entry, text: text, origin: .environment(name), at: "environment \(name)")
        } else if let (literal, line) = fromFile {
            let place = "\(file.path):\(line)"
            guard let text = entry.kind.text(of: literal) else {
                let shown = entry.kind.shown(literal.plainText).debugDescription
                reject(entry.name, at: place, "\(entry.name) does not take \(shown); accepted: \(entry.kind.accepted)")
                return
            }
            accept(entry, text: text, origin: .file(path: file.path, line: line), at: place)
        } else {
            switch entry.fallback {
            case .text(let text): accept(entry, text: text, origin: .builtIn, at: "default")
            case .none:
                settings[entry.name] = .init(entry: entry, value: nil, shown: "", origin: .builtIn)
            case .computed: break
            }
        }
    }

    private mutating func accept(_ entry: ConfigEntry, text: String, origin: ConfigOrigin, at place: String) {
        do throws(Failure) {
            guard let value = try entry.kind.value(ofText: text, environment: environment) else {
                let shown = entry.kind.shown(text).debugDescription
                var message = "\(entry.name) does not take \(shown); accepted: \(entry.kind.accepted)"
                if case .choice(let words) = entry.kind, let near = Spelling.nearest(to: text, among: words) {
                    message += "; did you mean \(near)?"
                }
                reject(entry.name, at: place, message)
                return
            }
            settings[entry.name] = .init(entry: entry, value: value, shown: entry.kind.shown(text), origin: origin)
        } catch {
            reject(entry.name, at: place, "\(entry.name): \(error.message)")
        }
    }

    private mutating func reject(_ key: String, at place: String, _ text: String) {
        problems.append(.init(field: key, description: "\(place): \(text)"))
    }

    private mutating func warnAboutVariables() {
        let known = Set(ConfigTable.entries.map(\.environmentName)).union(Self.otherVariables)
        for name in environment.keys.sorted() where name.hasPrefix("ACP_") && !known.contains(name) {
            let suggestion = Spelling.nearest(to: name, among: known.sorted()).map { " Did you mean \($0)?" } ?? ""
            warnings.append("The environment variable \(name) is not a setting and has no effect.\(suggestion)")
        }
    }

    /// Arguments of a process are for everyone on the machine to read.
    private mutating func warnAboutFlags() {
        for (name, text) in flags.sorted(by: { $0.key < $1.key }) {
            guard let entry = ConfigTable.entry(named: name), entry.kind.shown(text) != text else { continue }
            warnings.append(
                "The value of \(name) on the command line can be seen by other users of this machine while the command runs; "
                    + "use \(entry.environmentName), the configuration file, or a reference (env:NAME, file:/path).")
        }
    }

    private mutating func warnAboutReadableSecrets() {
        let written = file.assignments.contains { key, literal, _ in
            guard case .secret? = ConfigTable.entry(named: key)?.kind else { return false }
            return !Secret.isReference(literal.plainText)
        }
        var status = stat()
        guard written, stat(file.path, &status) == 0, status.st_mode & 0o077 != 0 else { return }
        warnings.append("\(file.path) holds a secret and others may read it; run: chmod 600 \(file.path)")
    }

    private static func unknownText(_ key: String) -> String {
        let suggestion = ConfigTable.suggestion(for: key).map { "; did you mean \($0)?" } ?? ""
        return "there is no setting \(key)\(suggestion)"
    }
}

extension TOMLLiteral {
    /// The value without quotes.
    var plainText: String {
        switch self {
        case .string(let text): text
        case .integer(let number): String(number)
        case .boolean(let flag): String(flag)
        }
    }
}
