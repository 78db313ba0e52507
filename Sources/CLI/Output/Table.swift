/// Columns of text. The last column takes what the terminal has left; elsewhere nothing is cut.
struct Table {
    private let header: [String]
    private var rows: [[String]] = []

    init(_ header: String...) { self.header = header }

    mutating func add(_ cells: String...) { rows.append(cells.map(Terminal.oneLine)) }

    /// - Parameter columnsMax: width at which the last column is cut; nil for no limit.
    func render(columnsMax: Int?) -> String {
        guard !rows.isEmpty else { return "" }
        var widths = header.map(Self.width)
        for row in rows {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], Self.width(cell)) }
        }
        var text = ""
        for (number, row) in ([header] + rows).enumerated() {
            var line = ""
            for (index, cell) in row.enumerated() {
                let isLast = index == row.count - 1
                if !isLast {
                    line += cell + String(repeating: " ", count: widths[index] - Self.width(cell) + 2)
                } else if let columnsMax {
                    let used = widths.dropLast().reduce(0) { $0 + $1 + 2 }
                    line += Self.cut(cell, to: max(20, columnsMax - used))
                } else {
                    line += cell
                }
            }
            while line.last == " " { line.removeLast() }
            text += (number == 0 ? Terminal.bold(line) : line) + "\n"
        }
        return text
    }

    /// Columns that a text takes: East Asian wide characters take two.
    static func width(_ text: String) -> Int {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
        return text.reduce(0) { width, character in
            guard let first = character.unicodeScalars.first else { return width }
            switch first.value {
            case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
                0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
                return width + 2
            default: return width + (first.properties.generalCategory == .nonspacingMark ? 0 : 1)
            }
        }
    }

    static func cut(_ text: String, to columns: Int) -> String {
        guard width(text) > columns else { return text }
        var cut = ""
        var used = 0
        for character in text {
            let next = width(String(character))
            guard used + next < columns else { break }
            used += next
            cut.append(character)
        }
        return cut + "…"
    }
}
