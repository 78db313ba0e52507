import Foundation
import Glibc

/// The fuzzer: one program for all targets, started by dev/fuzz, which says in `ACP_FUZZ_TARGET` which one.
///
///     ACPFuzz --list             names of the targets
///     ACPFuzz --seeds FOLDER     writes the valid inputs of every target
///     ACPFuzz …                  libFuzzer's own options, corpora and inputs
@main struct ACPFuzz {
    static func main() throws {
        switch CommandLine.arguments.dropFirst().first {
        case "--list": for target in FuzzTarget.all { print(target.name, target.inputBytesMax) }
        case "--seeds": try writeSeeds(URL(filePath: CommandLine.arguments.dropFirst(2).first ?? "."))
        default:
            guard Self.target != nil else {
                FileHandle.standardError.write(Data("ACPFuzz: ACP_FUZZ_TARGET names no target\n".utf8))
                exit(64)
            }
            var count = CommandLine.argc
            var arguments = CommandLine.unsafeArgv
            exit(LLVMFuzzerRunDriver(&count, &arguments, runOneInput))
        }
    }

    static let target: FuzzTarget? = {
        let name = ProcessInfo.processInfo.environment["ACP_FUZZ_TARGET"]
        return FuzzTarget.all.first { $0.name == name }
    }()

    private static func writeSeeds(_ folder: URL) throws {
        for target in FuzzTarget.all {
            let inputs = folder.appending(path: target.name)
            try FileManager.default.createDirectory(at: inputs, withIntermediateDirectories: true)
            for seed in try target.seeds() {
                try Data(seed.bytes).write(to: inputs.appending(path: "seed-\(seed.name)"))
            }
        }
    }
}

@_silgen_name("LLVMFuzzerRunDriver")
private func LLVMFuzzerRunDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ runOneInput: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// libFuzzer's own main, which is linked too and never runs, wants it under this name.
@_cdecl("LLVMFuzzerTestOneInput")
public func runOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do {
        try ACPFuzz.target?.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
    } catch {
        // A finding must end the process: libFuzzer keeps the input then.
        FileHandle.standardError.write(Data("finding: \(error)\n".utf8))
        abort()
    }
    return 0
}
