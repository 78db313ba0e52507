import Testing

@Suite struct TreeTests {
    @Test func importsPointUpTheListOfModules() throws {
        let files = try SourceTree.swiftFiles()
        #expect(files.count > 10, "the sources were not found below \(SourceTree.root)")
        let violations = files.flatMap(ImportRules.violations)
        #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
    }

    @Test func filesFollowTheStyle() throws {
        let violations = try SourceTree.swiftFiles().flatMap(StyleRules.violations)
        #expect(violations.isEmpty, "\(violations.joined(separator: "\n"))")
    }
}

@Suite struct RuleTests {
    @Test(
        arguments: [
            ("import Core", "Core"), ("public import struct NIOCore.ByteBuffer", "NIOCore"),
            ("@preconcurrency internal import Glibc", "Glibc"), ("    internal import Glibc", "Glibc"),
            ("@testable import RPC", "RPC"), ("// import Core", nil), ("let important = 1", nil), ("import", nil),
        ] as [(Substring, String?)])
    func importLinesAreRead(_ line: Substring, _ module: String?) {
        #expect(ImportRules.importedModule(line) == module)
    }

    @Test(arguments: [
        ("Sources/Ingest/A.swift", "import Agents"), ("Sources/Agents/A.swift", "internal import Ingest"),
        ("Sources/Core/A.swift", "import Logging"), ("Sources/Search/A.swift", "import Storage"),
        ("Sources/Gateway/A.swift", "import Foundation"), ("Sources/RPC/Call/A.swift", "import CACPProtos"),
        ("Sources/Unknown/A.swift", "import Core"),
    ])
    func forbiddenImportsAreFound(_ path: String, _ line: String) {
        #expect(ImportRules.violations(in: SourceFile(path: path, text: line)).count == 1)
    }

    @Test func allowedImportsPass() {
        let text = "internal import Glibc\npublic import Core\n"
        #expect(ImportRules.violations(in: SourceFile(path: "Sources/RPC/A.swift", text: text)) == [])
        #expect(
            ImportRules.violations(in: SourceFile(path: "Sources/RPC/Wire/A.swift", text: "import CACPProtos")) == [])
        #expect(ImportRules.violations(in: SourceFile(path: "Tests/RPCTests/A.swift", text: "import Foundation")) == [])
    }

    @Test func theTableHasNoCycle() {
        var below: Set<String> = []
        for (name, imports) in ImportRules.modules {
            let ours = imports.intersection(ImportRules.modules.map(\.name))
            #expect(ours.isSubset(of: below), "\(name) imports a module that stands after it")
            below.insert(name)
        }
    }

    @Test func unfinishedWorkIsFoundButNotInsideWords() {
        let mark = StyleRules.unfinished[0]
        let file = { SourceFile(path: "Tests/A.swift", text: $0) }
        #expect(StyleRules.violations(in: file("// \(mark): later")).count == 1)
        #expect(StyleRules.violations(in: file("// \(mark)S and MY\(mark)")) == [])
    }

    @Test func crashingShortcutsAreForbiddenInSourcesOnly() {
        let text = "let a = \(StyleRules.forbiddenInSources[0].0) f()"
        #expect(StyleRules.violations(in: SourceFile(path: "Sources/Core/A.swift", text: text)).count == 1)
        #expect(StyleRules.violations(in: SourceFile(path: "Sources/Core/A.swift", text: "// " + text)) == [])
        #expect(StyleRules.violations(in: SourceFile(path: "Tests/CoreTests/A.swift", text: text)) == [])
    }

    @Test func lengthsAreMeasured() {
        let body = String(repeating: "        x()\n", count: StyleRules.functionLinesMax)
        let long = "struct A {\n    func a() {\n\(body)    }\n\n    func b() { x() }\n\n    func c() {\n    }\n}\n"
        #expect(StyleRules.violations(in: SourceFile(path: "Sources/Core/A.swift", text: long)).count == 1)
        let file = { SourceFile(path: $0, text: String(repeating: "\n", count: StyleRules.fileLinesMax + $1)) }
        #expect(StyleRules.violations(in: file("Sources/Core/A.swift", 0)) == [])
        #expect(StyleRules.violations(in: file("Sources/Core/A.swift", 1)).count == 1)
        #expect(StyleRules.violations(in: file("Sources/RPC/Generated/A.swift", 1)) == [])
    }
}
