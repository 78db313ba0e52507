import Core
import Foundation
import Ingest
import Testing

/// Real documents with expected facts, and files made to break parsers. They are not part of the project: see `Folders.data`.
@Suite(.enabled(if: Folders.hasData, "the shared test data is not on this machine"))
struct CorpusTests {
    /// Formats of the manifest that are read now.
    private static let formats: Set<String> = ["pdf", "html", "md", "txt", "encoding"]
    /// Of the facts that at least two independent readings agree on, or that state no number of readings.
    private static let hardShareMin = 0.93

    private struct Fact {
        var text: String
        var page: Int?
        var isHeading: Bool
        var isHard: Bool
    }

    private struct Document {
        var path: String
        var format: String
        var facts: [Fact]
        var encoding: String?
    }

    private func documents() throws -> [Document] {
        let manifest = try String(contentsOf: Folders.data.appending(path: "documents/MANIFEST.tsv"), encoding: .utf8)
        return try manifest.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count > 10, Self.formats.contains(fields[2]) else { return nil }
            let expected = try JSONSerialization.jsonObject(with: Data(fields[10].utf8)) as? [[String: Any]] ?? []
            let facts = expected.compactMap { fact in
                (fact["contains"] as? String).map { text in
                    Fact(
                        text: text, page: fact["page"] as? Int, isHeading: fact["role"] as? String == "heading",
                        isHard: (fact["agree"] as? Int).map { $0 >= 2 } ?? true)
                }
            }
            let encoding = expected.lazy.compactMap { $0["encoding"] as? String }.first
            return Document(path: fields[1], format: fields[2], facts: facts, encoding: encoding)
        }
    }

    /// The data's matching rule: NFKC, without white space, hyphens, dashes, soft hyphens and zero-width characters.
    private func key(_ text: String) -> String {
        let ignored = Set<Unicode.Scalar>(["\u{AD}", "\u{200B}", "\u{200C}", "\u{200D}", "\u{2060}", "\u{FEFF}"])
        var key = String.UnicodeScalarView()
        for scalar in text.precomposedStringWithCompatibilityMapping.unicodeScalars {
            if scalar.properties.isWhitespace || scalar.properties.generalCategory == .dashPunctuation { continue }
            if ignored.contains(scalar) || scalar == "-" || scalar == "\u{2212}" { continue }
            key.append(scalar)
        }
        return String(key)
    }

    @Test func `hard facts of real documents are found`() async throws {
        var found: [String: (hits: Int, all: Int)] = [:]
        var encodings = (hits: 0, all: 0)
        for document in try documents() {
            let bytes = try Folders.bytes(Folders.data.appending(path: "documents/\(document.path)"))
            let name = URL(filePath: document.path).lastPathComponent
            let mediaType = try bytes.withUnsafeBytes { head throws(Failure) in
                try MediaType.detect(head, fileName: name)
            }
            let content = try await Readers.read(bytes, as: mediaType)
            let whole = key(content.blocks.map(\.text).joined(separator: "\n") + "\n" + content.title)
            let headings = content.blocks.filter { if case .heading = $0.kind { true } else { false } }.map {
                key($0.text)
            }
            for fact in document.facts where fact.isHard {
                let wanted = key(fact.text)
                let place = fact.page.map { page in
                    key(content.blocks.filter { $0.page == page }.map(\.text).joined(separator: "\n"))
                }
                let isFound =
                    fact.isHeading ? headings.contains { $0.contains(wanted) } : (place ?? whole).contains(wanted)
                found[document.format, default: (0, 0)].all += 1
                if isFound {
                    found[document.format, default: (0, 0)].hits += 1
                } else {
                    print("missed in \(document.path): \(fact.text.prefix(70))")
                }
            }
            if let encoding = document.encoding {
                encodings.all += 1
                let isRight = content.encoding.hasPrefix(encoding.lowercased())
                if isRight { encodings.hits += 1 } else { print("encoding of \(document.path): \(content.encoding)") }
            }
        }
        for (format, count) in found.sorted(by: { $0.key < $1.key }) {
            print("facts \(format): \(count.hits) of \(count.all)")
        }
        print("encodings: \(encodings.hits) of \(encodings.all)")
        let hits = found.values.reduce(0) { $0 + $1.hits }
        let all = found.values.reduce(0) { $0 + $1.all }
        print("hard facts: \(hits) of \(all)")
        #expect(Double(hits) >= Self.hardShareMin * Double(all))
    }

    @Test func `files made to break parsers end within the limits, with text or a reason`() async throws {
        var outcomes: [String: Int] = [:]
        for folder in ["text", "md", "html", "html/bleach", "pdf", "type"] {
            let directory = Folders.data.appending(path: "hostile/\(folder)")
            for file in try FileManager.default.contentsOfDirectory(
                at: directory, includingPropertiesForKeys: [.isRegularFileKey])
            where try file.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true {
                let bytes = try Folders.bytes(file)
                let start = MonotonicTime.now()
                let outcome: String
                do {
                    let mediaType = try bytes.withUnsafeBytes { head throws(Failure) in
                        try MediaType.detect(head, fileName: file.lastPathComponent)
                    }
                    _ = try await Readers.read(bytes, as: mediaType)
                    outcome = "read"
                } catch let failure as Failure {
                    #expect(
                        !failure.reason.isEmpty && failure.code != .internalError && failure.code != .unknown,
                        "\(file.lastPathComponent): \(failure)")
                    outcome = failure.reason
                }
                outcomes[outcome, default: 0] += 1
                let seconds = start.duration(to: .now()).inSeconds
                if seconds > 1 || outcome.hasPrefix("PARSER") {
                    print("\(folder)/\(file.lastPathComponent): \(outcome) after \(seconds) s")
                }
            }
        }
        print("hostile files: \(outcomes.sorted { $0.key < $1.key })")
    }
}
