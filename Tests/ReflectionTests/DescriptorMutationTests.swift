import Core
import NIOCore
import Testing

@testable import RPC

/// Descriptors changed at random: what is made of them either works or is refused. Seeds are in the messages.
@Suite struct DescriptorMutationTests {
    private static let files = DescriptorSet.embedded.serialized

    /// Uses everything that a pool offers, with input that its types may or may not take.
    private func exercise(_ files: [[UInt8]], _ generator: inout SeededGenerator) throws -> Int {
        var worked = 0
        do {
            let pool = try DescriptorPool(files: files)
            let printer = ProtoPrinter(pool)
            for file in pool.files {
                for service in file.services {
                    _ = printer.text(.service(service))
                    for method in service.methods { _ = try? pool.method(method.fullName) }
                }
                for message in file.messages + file.messages.flatMap(\.messages) {
                    _ = printer.text(.message(message))
                    do {
                        let schema = try pool.schema(message.fullName)
                        worked += 1
                        try withExtendedLifetime(pool) { try exercise(schema, pool, &generator) }
                    } catch let failure as Failure { check(failure) }
                }
            }
        } catch let failure as Failure { check(failure) }
        return worked
    }

    private func exercise(_ schema: MessageSchema, _ pool: DescriptorPool, _ generator: inout SeededGenerator) throws {
        var random = RandomJSON(generator: generator)
        let json = random.object(schema)
        generator = random.generator
        let bytes = try pool.message(json.utf8, type: schema.typeName)
        _ = try pool.json(bytes, type: schema.typeName, options: .init(printsDefaults: true))
        // Bytes of one message read as those of another, and noise.
        var noise = Array(bytes.readableBytesView) + (0..<generator.below(12)).map { _ in UInt8(generator.below(256)) }
        if !noise.isEmpty { noise[generator.below(noise.count)] = UInt8(generator.below(256)) }
        _ = try? pool.json(ByteBuffer(bytes: noise), type: schema.typeName)
    }

    private func check(_ failure: Failure) {
        #expect(
            [.internalError, .invalidArgument, .resourceExhausted].contains(failure.code) && !failure.message.isEmpty,
            "\(failure)")
    }

    @Test(arguments: 1...UInt64(16)) func changedBytes(_ seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<20 {
            var files = Self.files
            for _ in 0...generator.below(3) {
                let file = generator.below(files.count)
                for _ in 0...generator.below(4) {
                    let at = generator.below(files[file].count)
                    switch generator.below(3) {
                    case 0: files[file][at] = UInt8(generator.below(256))
                    case 1: files[file][at] ^= 1 << UInt8(generator.below(8))
                    default: files[file].remove(at: at)
                    }
                }
            }
            _ = try exercise(files, &generator)
        }
    }

    /// Changes that leave the bytes well-formed reach further than noise does.
    @Test(arguments: 1...UInt64(24)) func changedDeclarations(_ seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        var worked = 0
        for _ in 0..<12 {
            var trees = Self.files.map { WireTree($0, "", descriptorKind) }
            for _ in 0...generator.below(6) {
                change(&trees[generator.below(trees.count)], &generator)
            }
            worked += try exercise(trees.map(\.serialized), &generator)
        }
        #expect(worked > 0, "seed \(seed): no change left anything that could be used")
    }

    private func change(_ tree: inout WireTree, _ generator: inout SeededGenerator) {
        guard !tree.fields.isEmpty else { return }
        let index = generator.below(tree.fields.count)
        if case .message(var inner) = tree.fields[index].value, !generator.chance(8) {
            change(&inner, &generator)
            tree.fields[index].value = .message(inner)
            return
        }
        let other = generator.below(tree.fields.count)
        switch generator.below(6) {
        case 0: tree.fields.remove(at: index)
        case 1: tree.fields.append(tree.fields[index])
        case 2: tree.fields.swapAt(index, other)
        case 3: tree.fields[index].value = tree.fields[other].value
        default:
            switch tree.fields[index].value {
            case .varint:
                tree.fields[index].value = .varint(generator.chance() ? generator.next() : generator.next() % 20)
            case .bytes(let text):
                let names = [
                    ".acp.v1.Job", ".acp.v1.Answer", ".google.protobuf.Timestamp", ".acp.v1.JobState", "key", "value",
                ]
                tree.fields[index].value = .bytes(
                    generator.chance() ? Array(names[generator.below(names.count)].utf8) : text + text)
            case .fixed, .message: break
            }
        }
    }
}
