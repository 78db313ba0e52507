internal import CPoppler

/// A line of a page, as poppler orders lines for reading.
struct PDFLine {
    /// UTF-8.
    var text: [UInt8] = []
    /// In points, from the top left corner of the page.
    var left = Double.infinity
    var top = Double.infinity
    var right = -Double.infinity
    var bottom = -Double.infinity
    /// Of most of its characters, in points.
    var fontSize = 0.0
    var isBold = false
}

/// The lines of one page.
struct PDFPage {
    let number: Int
    let width: Double
    let height: Double
    private(set) var lines: [PDFLine] = []
    /// Whether it shows images; only found out for pages without text.
    private(set) var hasImages = false

    /// Reads a page; nil when poppler cannot.
    static func load(_ document: OpaquePointer, index: Int) -> PDFPage? {
        guard let page = poppler_document_get_page(document, Int32(index)) else { return nil }
        defer { g_object_unref(UnsafeMutableRawPointer(page)) }
        return PDFPage(page, number: index + 1)
    }

    init(_ page: OpaquePointer, number: Int) {
        self.number = number
        var size = (width: 0.0, height: 0.0)
        poppler_page_get_size(page, &size.width, &size.height)
        width = size.width.isFinite ? size.width : 0
        height = size.height.isFinite ? size.height : 0
        lines = Self.lines(of: page)
        if lines.isEmpty {
            let images = poppler_page_get_image_mapping(page)
            hasImages = images != nil
            poppler_page_free_image_mapping(images)
        }
    }

    private static func lines(of page: OpaquePointer) -> [PDFLine] {
        guard let text = poppler_page_get_text(page) else { return [] }
        defer { g_free(text) }
        var rectangles: UnsafeMutablePointer<PopplerRectangle>?
        var rectangleCount: guint = 0
        poppler_page_get_text_layout(page, &rectangles, &rectangleCount)
        defer { g_free(rectangles) }
        let runs = FontRuns(page)

        var lines: [PDFLine] = []
        var line = LineBuilder()
        // Poppler's layout counts characters as its text does, without the direction marks that it adds to the text.
        var index = 0
        for scalar in String(cString: text).unicodeScalars {
            if (0x202A...0x202E).contains(scalar.value) { continue }
            if scalar == "\n" {
                if let done = line.take() { lines.append(done) }
            } else {
                let rectangle = index < Int(rectangleCount) ? rectangles?[index] : nil
                line.append(scalar, rectangle, runs.run(at: index))
            }
            index += 1
        }
        if let done = line.take() { lines.append(done) }
        return lines
    }
}

/// Which font each character has.
private struct FontRuns {
    struct Run {
        var start: Int
        var end: Int
        var size: Double
        var isBold: Bool
    }

    private var runs: [Run] = []

    init(_ page: OpaquePointer) {
        guard let list = poppler_page_get_text_attributes(page) else { return }
        defer { poppler_page_free_text_attributes(list) }
        var entry: UnsafeMutablePointer<GList>? = list
        while let current = entry {
            if let attributes = current.pointee.data?.assumingMemoryBound(to: PopplerTextAttributes.self).pointee {
                let name = attributes.font_name.map { String(cString: $0) } ?? ""
                runs.append(
                    Run(
                        start: Int(attributes.start_index), end: Int(attributes.end_index), size: attributes.font_size,
                        isBold: Self.isBold(name)))
            }
            entry = current.pointee.next
        }
    }

    /// The run of a character, by its index.
    func run(at index: Int) -> Run? {
        // The first run that ends at or behind the index; they are in order.
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].end < index { low = middle + 1 } else { high = middle }
        }
        return low < runs.count && runs[low].start <= index ? runs[low] : nil
    }

    /// PDF has no weight: the names of fonts tell, among them those of TeX (CMBX, SFBX).
    private static func isBold(_ name: String) -> Bool {
        let name = name.lowercased()
        return ["bold", "black", "heavy", "cmbx", "sfbx", "semibold", "demi"].contains { name.contains($0) }
    }
}

/// Gathers the characters of one line.
private struct LineBuilder {
    private var line = PDFLine()
    /// Characters per font size, in tenths of a point.
    private var sizes: [Int: Int] = [:]
    private var bold = 0
    private var visible = 0

    mutating func append(_ scalar: Unicode.Scalar, _ rectangle: PopplerRectangle?, _ run: FontRuns.Run?) {
        line.text.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
        guard !scalar.properties.isWhitespace else { return }
        visible += 1
        if let run {
            // Sizes that are no sizes come from damaged fonts.
            if run.size > 0, run.size < 10_000 { sizes[Int((run.size * 10).rounded()), default: 0] += 1 }
            if run.isBold { bold += 1 }
        }
        if let rectangle {
            line.left = min(line.left, rectangle.x1)
            line.right = max(line.right, rectangle.x2)
            line.top = min(line.top, rectangle.y1)
            line.bottom = max(line.bottom, rectangle.y2)
        }
    }

    /// The line, or nil when there is nothing to see in it.
    mutating func take() -> PDFLine? {
        defer { self = LineBuilder() }
        guard visible > 0 else { return nil }
        let most = sizes.max { ($0.value, $1.key) < ($1.value, $0.key) }
        line.fontSize = Double(most?.key ?? 0) / 10
        line.isBold = bold * 10 > visible * 8
        return line
    }
}
