internal import CPoppler
internal import Core
internal import Glibc

/// PDF, by poppler. Text, positions and fonts; nothing is rendered.
struct PDFParser: DocumentParser {
    let mediaType = "application/pdf"
    let name = "poppler"
    let version = String(cString: poppler_get_version())

    /// Keeps poppler's global tables alive, so that children find them filled and need not read directories.
    private let warmUp: OpaquePointer

    /// Reads a page of our own before any sandbox closes: whatever poppler loads once, it loads now.
    init() throws(ParseFailure) {
        tzset()
        let bytes = Self.warmUpDocument.withUnsafeBytes { g_bytes_new($0.baseAddress, gsize($0.count)) }
        defer { g_bytes_unref(bytes) }
        guard let document = poppler_document_new_from_bytes(bytes, nil, nil),
            let page = poppler_document_get_page(document, 0)
        else { throw ParseFailure("START", "poppler cannot read its own test page") }
        defer { g_object_unref(UnsafeMutableRawPointer(page)) }
        _ = PDFPage(page, number: 1)
        warmUp = document
    }

    /// Poppler finds the objects without a cross-reference table.
    static let warmUpDocument = Array(
        """
        %PDF-1.4
        1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj
        2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj
        3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R
        /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >> endobj
        4 0 obj << /Length 44 >> stream
        BT /F 12 Tf 20 100 Td (A warm-up page) Tj ET
        endstream endobj
        trailer << /Root 1 0 R >>
        %%EOF

        """.utf8)

    func parse(_ input: UnsafeRawBufferPointer, limits: ParseLimits, into writer: FrameWriter) throws(ParseFailure) {
        let document = try open(input)
        let pageCount = Int(poppler_document_get_n_pages(document))
        guard pageCount > 0 else {
            throw ParseFailure("PDF_DAMAGED", "The PDF has no pages: it is damaged, or cut off.")
        }
        var head = Self.head(of: document)
        head.pageCount = pageCount
        try writer.begin(head)

        var sample = PDFSample(document, pageCount: pageCount)
        let style = PDFStyle(sample: sample.pages.values, outline: PDFOutline.titles(of: document))
        for index in 0..<pageCount {
            guard let page = sample.take(index) ?? PDFPage.load(document, index: index) else {
                try writer.page(index + 1)
                try writer.drop(Drop(reason: .pageDamaged, page: index + 1))
                continue
            }
            try writer.page(page.number, width: page.width, height: page.height)
            for block in style.blocks(of: page) { try writer.block(block) }
            if page.lines.isEmpty {
                try writer.drop(Drop(reason: page.hasImages ? .imageWithoutText : .blankPage, page: page.number))
            }
        }
    }

    private func open(_ input: UnsafeRawBufferPointer) throws(ParseFailure) -> OpaquePointer {
        let bytes = g_bytes_new_static(input.baseAddress, gsize(input.count))
        defer { g_bytes_unref(bytes) }
        var error: UnsafeMutablePointer<GError>?
        if let document = poppler_document_new_from_bytes(bytes, nil, &error) { return document }
        let code = error?.pointee.code ?? 0
        g_clear_error(&error)
        if code == Int32(POPPLER_ERROR_ENCRYPTED.rawValue) {
            throw ParseFailure("PDF_ENCRYPTED", "The PDF is protected by a password.")
        }
        throw ParseFailure("PDF_DAMAGED", "The PDF is damaged, or cut off: no parser can find its pages.")
    }

    private static func head(of document: OpaquePointer) -> DocumentHead {
        var head = DocumentHead()
        head.title = taken(poppler_document_get_title(document))
        head.add("author", taken(poppler_document_get_author(document)))
        head.add("subject", taken(poppler_document_get_subject(document)))
        head.add("keywords", taken(poppler_document_get_keywords(document)))
        head.add("creator", taken(poppler_document_get_creator(document)))
        head.add("producer", taken(poppler_document_get_producer(document)))
        head.add("created", date(poppler_document_get_creation_date(document)))
        head.add("modified", date(poppler_document_get_modification_date(document)))
        return head
    }

    /// A string that glib allocated, which is freed.
    static func taken(_ text: UnsafeMutablePointer<gchar>?) -> String {
        guard let text else { return "" }
        defer { g_free(text) }
        return String(cString: text)
    }

    private static func date(_ seconds: time_t) -> String {
        // Years 1970 to 9999; anything else was never a date.
        guard seconds > 0, seconds < 253_402_300_800 else { return "" }
        return WallTime(microseconds: Int64(seconds) * 1_000_000).rfc3339
    }
}

/// A few pages spread over the document, by which its style is judged. Kept, so that they are not read twice.
struct PDFSample {
    private(set) var pages: [Int: PDFPage] = [:]

    private static let pagesMax = 8

    init(_ document: OpaquePointer, pageCount: Int) {
        let count = min(pageCount, Self.pagesMax)
        for step in 0..<count {
            let index = step * pageCount / count
            pages[index] = PDFPage.load(document, index: index)
        }
    }

    mutating func take(_ index: Int) -> PDFPage? { pages.removeValue(forKey: index) }
}
