import FoundationEssentials
import Glibc

/// A Swift file of this repository.
struct SourceFile {
    /// Path from the root, e.g. `Sources/Core/Failure.swift`.
    let path: String
    let lines: [Substring]

    init(path: String, text: String) {
        self.path = path
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// The lines that are code, with their numbers: those inside multi-line strings are left out.
    var codeLines: [(number: Int, text: Substring)] {
        var isInside = false
        return lines.enumerated().compactMap { index, line in
            let togglesString = line.ranges(of: "\"\"\"").count % 2 == 1
            defer { if togglesString { isInside.toggle() } }
            return isInside ? nil : (index + 1, line)
        }
    }

    var folders: [Substring] { path.split(separator: "/").dropLast() }
    var isGenerated: Bool { folders.contains("Generated") || folders.contains("TestProtos") }
    /// The module of a file in Sources/<Module>; nil elsewhere.
    var module: String? { folders.first == "Sources" && folders.count > 1 ? String(folders[1]) : nil }
}

enum SourceTree {
    /// The root of the repository, found from where this file was compiled.
    static let root: String = {
        // The package may have been built through a link to its folders.
        var file = #filePath
        if let real = realpath(file, nil) {
            file = String(cString: real)
            free(real)
        }
        return String(file.dropLast("/Tests/StyleTests/SourceTree.swift".count))
    }()

    /// All Swift files that are ours and written by hand or generated, in order of path.
    static func swiftFiles() throws -> [SourceFile] {
        try ["Sources", "Tests", "Benchmarks", "Fuzz"].flatMap(swiftFiles(under:)).sorted { $0.path < $1.path }
    }

    private static func swiftFiles(under folder: String) throws -> [SourceFile] {
        guard let paths = FileManager.default.enumeratedPaths(root + "/" + folder) else { return [] }
        return try paths.filter { $0.hasSuffix(".swift") && !$0.contains("/.build") && !$0.hasPrefix(".build") }.map {
            let path = "\(folder)/\($0)"
            guard let data = FileManager.default.contents(atPath: "\(root)/\(path)"),
                let text = String(validating: data, as: UTF8.self)
            else { throw Unreadable(path: path) }
            return SourceFile(path: path, text: text)
        }
    }

    struct Unreadable: Error { let path: String }
}

extension FileManager {
    /// Paths of everything below a folder, relative to it; nil when there is no such folder.
    fileprivate func enumeratedPaths(_ folder: String) -> [String]? {
        fileExists(atPath: folder) ? try? subpathsOfDirectory(atPath: folder) : nil
    }
}
