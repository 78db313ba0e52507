/// Writes small PDF files for tests.
struct PDFWriter {
    struct Line {
        var text: String
        var size = 11.0
        var isBold = false
        var x = 72.0
        var y: Double
    }

    private var pages: [String] = []
    /// Each of so many forms draws the next one twice, so that drawing the first takes 2^forms steps.
    var forms = 0
    var info = ""
    /// Extra entries of the trailer, and extra objects they refer to.
    var isEncrypted = false
    var outline: [String] = []

    /// A page of lines, top left coordinates.
    mutating func page(_ lines: [Line]) {
        let operators = lines.map { line in
            "BT /\(line.isBold ? "B" : "F") \(line.size) Tf 1 0 0 1 \(line.x) \(842 - line.y) Tm (\(line.text)) Tj ET"
        }
        pages.append(operators.joined(separator: "\n"))
    }

    /// A page that draws one image and no text.
    mutating func imagePage() { pages.append("q 200 0 0 200 100 400 cm /I Do Q") }

    /// A page that draws the first form.
    mutating func formPage() { pages.append("/X Do") }

    func bytes() -> [UInt8] {
        var objects: [String] = [
            "<< /Type /Catalog /Pages 2 0 R \(outline.isEmpty ? "" : "/Outlines 8 0 R") >>",
            "",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>",
            stream(
                "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8", "x"),
            "<< \(info) >>",
            "<< /Filter /Standard /V 1 /R 2 /P -44 /O <\(hex(1))> /U <\(hex(2))> >>",
        ]
        let firstItem = 9
        objects.append("<< /Type /Outlines /First \(firstItem) 0 R /Count \(outline.count) >>")
        for (index, title) in outline.enumerated() {
            let next = index + 1 < outline.count ? "/Next \(firstItem + index + 1) 0 R" : ""
            objects.append(
                "<< /Title (\(title)) /Parent 8 0 R /Dest [\(firstItem + outline.count) 0 R /Fit] \(next) >>")
        }
        var kids: [Int] = []
        let firstForm = objects.count + 2 * pages.count + 1
        for page in pages {
            kids.append(objects.count + 1)
            objects.append(
                """
                << /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents \(objects.count + 2) 0 R
                /Resources << /Font << /F 3 0 R /B 4 0 R >> /XObject << /I 5 0 R \(forms > 0 ? "/X \(firstForm) 0 R" : "") >> >> >>
                """)
            objects.append(stream("<<", page))
        }
        for form in 0..<forms {
            let isLast = form == forms - 1
            let next = isLast ? "" : "/Resources << /XObject << /X \(objects.count + 2) 0 R >> >>"
            objects.append(
                stream(
                    "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] \(next)", isLast ? "0 0 1 1 re f" : "/X Do /X Do")
            )
        }
        objects[1] =
            "<< /Type /Pages /Kids [\(kids.map { "\($0) 0 R" }.joined(separator: " "))] /Count \(kids.count) >>"
        return assemble(objects)
    }

    private func stream(_ dictionary: String, _ content: String) -> String {
        "\(dictionary) /Length \(content.utf8.count) >>\nstream\n\(content)\nendstream"
    }

    private func hex(_ byte: Int) -> String { String(repeating: "0\(byte)", count: 32) }

    private func assemble(_ objects: [String]) -> [UInt8] {
        var text = "%PDF-1.4\n"
        var offsets: [Int] = []
        for (index, object) in objects.enumerated() {
            offsets.append(text.utf8.count)
            text += "\(index + 1) 0 obj\n\(object)\nendobj\n"
        }
        let table = text.utf8.count
        text += "xref\n0 \(objects.count + 1)\n0000000000 65535 f \n"
        for offset in offsets {
            let digits = String(offset)
            text += String(repeating: "0", count: 10 - digits.count) + digits + " 00000 n \n"
        }
        let encrypt = isEncrypted ? "/Encrypt 7 0 R /ID [<00> <00>]" : ""
        text +=
            "trailer\n<< /Size \(objects.count + 1) /Root 1 0 R /Info 6 0 R \(encrypt) >>\nstartxref\n\(table)\n%%EOF\n"
        return Array(text.utf8)
    }
}
