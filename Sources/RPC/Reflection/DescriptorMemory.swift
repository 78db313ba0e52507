/// Memory that C descriptors made at run time are in; all of it goes when this object goes. Used by one thread at a time.
final class DescriptorMemory: @unchecked Sendable {
    private var blocks: [UnsafeMutableRawPointer] = []
    /// Equal texts are one: field names repeat a lot.
    private var strings: [String: UnsafePointer<CChar>] = [:]

    deinit {
        for block in blocks { block.deallocate() }
    }

    /// Uninitialised memory for `count` values.
    func allocate<T>(_ type: T.Type, count: Int = 1) -> UnsafeMutablePointer<T> {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(1, MemoryLayout<T>.stride * count), alignment: MemoryLayout<T>.alignment)
        blocks.append(memory)
        return memory.bindMemory(to: T.self, capacity: count)
    }

    /// nil for an empty array.
    func array<T>(_ values: [T]) -> UnsafePointer<T>? {
        guard !values.isEmpty else { return nil }
        let memory = allocate(T.self, count: values.count)
        memory.initialize(from: values, count: values.count)
        return UnsafePointer(memory)
    }

    /// A C string; the text holds no NUL.
    func string(_ text: String) -> UnsafePointer<CChar> {
        if let known = strings[text] { return known }
        let copy = allocate(CChar.self, count: text.utf8.count + 1)
        for (index, byte) in text.utf8.enumerated() { copy[index] = CChar(bitPattern: byte) }
        copy[text.utf8.count] = 0
        strings[text] = UnsafePointer(copy)
        return UnsafePointer(copy)
    }
}
