/// How protobuf names look in Swift and in protoc-c's C.
enum Names {
    /// `document_id` → `documentID`, `JOB_CANCELLED` → `jobCancelled`. `id`, `ids` and `url` are upper case after the first word.
    static func lowerCamel(_ name: String) -> String {
        let words = name.split(separator: "_").map { $0.allSatisfy { !$0.isLowercase } ? $0.lowercased() : String($0) }
        guard let first = words.first else { return name }
        return lowerFirst(first) + words.dropFirst().map { initialisms[$0] ?? upperFirst($0) }.joined()
    }

    /// `search` → `Search`, `job_state` → `JobState`.
    static func upperCamel(_ name: String) -> String {
        name.split(separator: "_").map { upperFirst(String($0)) }.joined()
    }

    static func upperFirst(_ name: String) -> String { name.prefix(1).uppercased() + name.dropFirst() }
    static func lowerFirst(_ name: String) -> String { name.prefix(1).lowercased() + name.dropFirst() }

    /// `JobState` → `JOB_STATE`.
    static func screamingSnake(_ name: String) -> String {
        var result = ""
        var previousIsLower = false
        for character in name {
            if character.isUppercase && previousIsLower { result += "_" }
            previousIsLower = !character.isUppercase
            result += character.uppercased()
        }
        return result
    }

    /// A name as it is declared, and as it is used without anything in front: Swift's keywords in backticks.
    static func declared(_ name: String) -> String { swiftKeywords.contains(name) ? "`\(name)`" : name }

    /// The enum case of a value: without the type's name in front where the value repeats it.
    static func enumCase(_ value: String, of enumeration: String) -> String {
        let prefix = screamingSnake(enumeration) + "_"
        let rest = value.hasPrefix(prefix) ? String(value.dropFirst(prefix.count)) : value
        // `STATE_2D` without its prefix would begin with a digit.
        let usable = rest.first.map { $0.isLetter } == true ? rest : value
        return lowerCamel(usable)
    }

    /// What types of a package have in front: nothing for `acp.v1`, `Wire` for `acp.wire.v1`.
    static func prefix(ofPackage package: String) -> String {
        if package == "google.protobuf" { return "" }
        let parts = package.split(separator: ".").dropFirst()
        return parts.filter { !isVersion($0) }.map { upperCamel(String($0)) }.joined()
    }

    private static func isVersion(_ part: Substring) -> Bool {
        part.first == "v" && part.count > 1 && part.dropFirst().allSatisfy(\.isNumber)
    }

    /// `acp.v1.Drop.Reason` of package `acp.v1` → `Drop.Reason`.
    static func type(_ fullName: String, package: String) -> String {
        let local = package.isEmpty ? Substring(fullName) : fullName.dropFirst(package.count + 1)
        return prefix(ofPackage: package) + local
    }

    /// Stem of the generated files of a proto file: `acp/v1/ingest.proto` → `Ingest`.
    static func fileStem(_ file: ProtoFile) -> String {
        let base = file.name.split(separator: "/").last.map(String.init) ?? file.name
        let stem = upperCamel(base.hasSuffix(".proto") ? String(base.dropLast(6)) : base)
        let prefix = prefix(ofPackage: file.package)
        return stem.hasPrefix(prefix) ? stem : prefix + stem
    }

    // MARK: protoc-c

    /// protoc-c's functions: `acp.v1.WhoAmIRequest` → `acp__v1__who_am_irequest`.
    static func cLower(_ fullName: String) -> String {
        fullName.split(separator: ".").map { part in
            var result = ""
            var previousIsUpper = true
            for character in part {
                if character.isUppercase {
                    if !previousIsUpper { result += "_" }
                    result += character.lowercased()
                } else {
                    result += String(character)
                }
                previousIsUpper = character.isUppercase
            }
            return result
        }.joined(separator: "__")
    }

    /// protoc-c's member for a field.
    static func cField(_ name: String) -> String {
        let lower = name.lowercased()
        return cKeywords.contains(lower) ? lower + "_" : lower
    }

    /// The inline accessor of a descriptor in acp_descriptors.h.
    static func cDescriptor(_ fullName: String) -> String {
        "acp_descriptor_" + String(fullName.map { $0 == "." ? "_" : $0 })
    }

    private static let initialisms = ["id": "ID", "ids": "IDs", "url": "URL"]

    private static let swiftKeywords: Set<String> = [
        "as", "associatedtype", "await", "break", "case", "catch", "class", "continue", "default", "defer", "deinit",
        "do",
        "else", "enum", "extension", "fallthrough", "false", "fileprivate", "for", "func", "guard", "if", "import",
        "in", "inout", "internal", "is", "let", "nil", "operator", "precedencegroup", "private", "protocol", "public",
        "repeat", "rethrows", "return", "static", "struct", "subscript", "super", "switch", "throw", "throws", "true",
        "try", "typealias", "var", "where", "while",
    ]

    /// As in protoc-c 1.4.1, c_helpers.cc.
    private static let cKeywords: Set<String> = [
        "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char", "class", "compl",
        "const", "const_cast", "continue", "default", "delete", "do", "double", "dynamic_cast", "else", "enum",
        "explicit", "extern", "false", "float", "for", "friend", "goto", "if", "inline", "int", "long", "mutable",
        "namespace", "new", "not", "not_eq", "operator", "or", "or_eq", "private", "protected", "public", "register",
        "reinterpret_cast", "return", "short", "signed", "sizeof", "static", "static_cast", "struct", "switch",
        "template", "this", "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using",
        "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
    ]
}
