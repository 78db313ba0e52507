internal import Glibc

/// C copies of strings that live as long as this does: what a protobuf-c message points at while it is packed.
final class CStrings {
    private var copies: [UnsafeMutablePointer<CChar>] = []

    deinit {
        for copy in copies { free(copy) }
    }

    /// A copy of UTF-8 bytes that hold no NUL.
    func add(_ bytes: some Collection<UInt8>) -> UnsafeMutablePointer<CChar>? {
        guard let copy = malloc(bytes.count + 1) else { _exit(71) }
        let target = UnsafeMutableRawBufferPointer(start: copy, count: bytes.count + 1)
        target.copyBytes(from: bytes)
        target[bytes.count] = 0
        let text = copy.assumingMemoryBound(to: CChar.self)
        copies.append(text)
        return text
    }

    func add(_ text: String) -> UnsafeMutablePointer<CChar>? { add(text.utf8) }
}
