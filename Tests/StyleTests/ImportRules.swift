/// What each module may import: the layout of ARCHITECTURE.md as a table. `dev/check` runs the test that applies it.
enum ImportRules {
    /// Parts of the toolchain that every module may use. Foundation is not among them: it costs start-up time and memory.
    static let everywhere: Set<String> = ["Glibc", "Synchronization"]

    private static let nio: Set<String> = ["NIOCore", "NIOPosix"]
    /// Encryption of connections: only RPC knows of it.
    private static let tls: Set<String> = ["NIOSSL", "NIOTLS"]
    private static let telemetry: Set<String> = ["Logging", "Metrics", "CoreMetrics"]

    /// Modules bottom up; each may import what stands beside it.
    static let modules: [(name: String, imports: Set<String>)] = [
        ("Core", []),
        ("RPC", telemetry.union(nio).union(tls).union(["Core", "CACPProtos", "CProtobufC", "CZstd", "NIOHTTP1"])),
        ("Storage", telemetry.union(["Core", "CPQ", "CHiredis", "CZstd", "CProcess", "Crypto"])),
        ("Search", ["Core", "CStemmer", "CZstd"]),
        (
            "Extract",
            [
                "Core", "CACPProtos", "CProtobufC", "CSandbox", "CProcess", "CMd4c", "CGumbo", "CPoppler", "CUchardet",
            ]
        ),
        (
            "Ingest",
            telemetry.union(["Core", "RPC", "Storage", "Search", "CProcess", "NIOCore"])
        ),
        ("Agents", telemetry.union(["Core", "RPC", "Storage", "Search"])),
        ("Gateway", telemetry.union(nio).union(["Core", "RPC", "NIOHTTP1"])),
        ("Platform", telemetry.union(["Core"])),
        ("CLI", telemetry.union(["Core", "RPC", "Platform", "Crypto", "ArgumentParser"])),
        (
            "acp",
            telemetry.union(nio).union([
                "Core", "RPC", "Storage", "Search", "Ingest", "Agents", "Gateway", "Platform", "CLI", "ArgumentParser",
                "NIOHTTP1", "CProcess", "Crypto",
            ])
        ),
        ("Protogen", ["CACPProtos", "CProtobufC"]),
    ]

    /// C message types stay behind these folders: no other file sees them.
    static let protobufFolders = [
        "Sources/RPC/Wire/", "Sources/RPC/JSON/", "Sources/RPC/Reflection/", "Sources/RPC/Generated/",
        "Sources/Extract/",
        "Sources/Protogen/",
        // Reads what the parser process writes.
        "Sources/Ingest/Extraction/",
    ]
    static let protobufModules: Set<String> = ["CACPProtos", "CProtobufC"]

    /// The module named by an import line, or nil when the line is none. `import struct A.B` and `import A.B` name A.
    static func importedModule(_ line: Substring) -> String? {
        var words = line.split(separator: " ")
        let modifiers: Set<Substring> = ["public", "internal", "private", "fileprivate", "package"]
        while let first = words.first, first.hasPrefix("@") || modifiers.contains(first) { words.removeFirst() }
        guard words.first == "import", words.count > 1 else { return nil }
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        let path = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
        return path.split(separator: ".").first.map(String.init)
    }

    static func violations(in file: SourceFile) -> [String] {
        guard let module = file.module else { return [] }
        guard let rule = modules.first(where: { $0.name == module }) else {
            return module == "C" ? [] : ["\(file.path): the module \(module) is not in the table of import rules"]
        }
        return file.codeLines.compactMap { number, line in
            guard let imported = importedModule(line), !everywhere.contains(imported) else { return nil }
            let place = "\(file.path):\(number)"
            guard rule.imports.contains(imported) else { return "\(place): \(module) must not import \(imported)" }
            if protobufModules.contains(imported), !protobufFolders.contains(where: file.path.hasPrefix) {
                return "\(place): \(imported) may be imported only in \(protobufFolders.joined(separator: ", "))"
            }
            return nil
        }
    }
}
