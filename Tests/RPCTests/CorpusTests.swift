import Foundation
import Testing

@testable import RPC

/// Every committed input of the fuzzers, run once more: what they found stays found, and the fuzzers keep building.
@Suite struct CorpusTests {
    private static let corpora = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "../../Fuzz/Corpora").standardizedFileURL

    private static func inputs(_ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let folder = corpora.appending(path: target.name)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted().map {
            ($0, Array(try Data(contentsOf: folder.appending(path: $0))))
        }
    }

    @Test func inputsAreFewAndSmall() throws {
        let inputs = try FuzzTarget.all.flatMap { try Self.inputs($0) }
        #expect(inputs.count < 200)
        #expect(inputs.reduce(0) { $0 + $1.bytes.count } < 300_000)
    }

    @Test func seedsAreCurrent() throws {
        for target in FuzzTarget.all {
            let committed = Dictionary(uniqueKeysWithValues: try Self.inputs(target).map { ($0.name, $0.bytes) })
            for seed in try target.seeds() {
                #expect(
                    committed["seed-\(seed.name)"] == seed.bytes,
                    "\(target.name)/seed-\(seed.name) is not what dev/fuzz --seeds writes")
            }
        }
    }

    @Test func noInputFindsAnything() throws {
        for target in FuzzTarget.all {
            for input in try Self.inputs(target) {
                do { try target.run(input.bytes) } catch { Issue.record("\(target.name)/\(input.name): \(error)") }
            }
        }
    }

    /// A little of what the fuzzers do, without their search.
    @Test(arguments: UInt64(1)...4) func changedSeedsFindNothing(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for target in FuzzTarget.all {
            let seeds = try target.seeds()
            for _ in 0..<150 {
                var bytes = seeds.randomElement(using: &random)?.bytes ?? []
                for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                    let at = Int.random(in: bytes.indices, using: &random)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                    case 1: bytes.remove(at: at)
                    case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
                    default: bytes += bytes[at...].prefix(64)
                    }
                }
                do { try target.run(bytes) } catch {
                    Issue.record("seed \(seed), \(target.name): \(error) for \(bytes)")
                    return
                }
            }
        }
    }
}
