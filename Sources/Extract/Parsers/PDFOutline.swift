internal import CPoppler

/// The document's own table of contents.
enum PDFOutline {
    private static let entriesMax = 10_000
    private static let depthMax = 32

    /// Level (from 1) of each title, in the form of `key`.
    static func titles(of document: OpaquePointer) -> [[UInt8]: Int] {
        var titles: [[UInt8]: Int] = [:]
        // Entries may form circles, so the number of steps is what ends it.
        var steps = 0
        if let root = poppler_index_iter_new(document) {
            collect(root, level: 1, steps: &steps, into: &titles)
            poppler_index_iter_free(root)
        }
        return titles
    }

    private static func collect(
        _ iterator: OpaquePointer, level: Int, steps: inout Int, into titles: inout [[UInt8]: Int]
    ) {
        repeat {
            steps += 1
            guard steps <= entriesMax else { return }
            if let action = poppler_index_iter_get_action(iterator) {
                if let title = action.pointee.any.title {
                    let key = key(Array(String(cString: title).utf8))
                    if !key.isEmpty, titles[key] == nil { titles[key] = level }
                }
                poppler_action_free(action)
            }
            if level < depthMax, let child = poppler_index_iter_get_child(iterator) {
                collect(child, level: level + 1, steps: &steps, into: &titles)
                poppler_index_iter_free(child)
            }
        } while poppler_index_iter_next(iterator) != 0
    }

    /// What two spellings of a title have in common: its letters, without leading numbers.
    static func key(_ title: [UInt8]) -> [UInt8] {
        let letters = title.drop { !isLetter($0) }
        return letters.filter { isLetter($0) || isDigit($0) }.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    }

    /// ASCII letters, and every byte of any other script.
    static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) || byte >= 0x80 }
    static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
