/// A PDF of pages with one line of text, the same on each, as small as one can be.
/// - Parameter isEncrypted: it says that a password is needed.
public func tinyPDF(_ line: String, pages: Int = 1, isEncrypted: Bool = false) -> [UInt8] {
    let content = "BT /F1 24 Tf 72 720 Td (\(line)) Tj ET"
    let hash = String(repeating: "01", count: 32)
    let kids = (0..<pages).map { "\(6 + $0) 0 R" }.joined(separator: " ")
    let page =
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R /Resources << /Font << /F1 4 0 R >> >> >>"
    let objects =
        [
            "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [\(kids)] /Count \(pages) >>",
            "<< /Length \(content.utf8.count) >>\nstream\n\(content)\nendstream",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            "<< /Filter /Standard /V 1 /R 2 /P -44 /O <\(hash)> /U <\(hash)> >>",
        ] + Array(repeating: page, count: pages)
    var text = "%PDF-1.4\n"
    var offsets: [Int] = []
    for (index, object) in objects.enumerated() {
        offsets.append(text.utf8.count)
        text += "\(index + 1) 0 obj\n\(object)\nendobj\n"
    }
    let start = text.utf8.count
    text += "xref\n0 \(objects.count + 1)\n0000000000 65535 f \n"
    for offset in offsets {
        let digits = String(offset)
        text += String(repeating: "0", count: 10 - digits.count) + digits + " 00000 n \n"
    }
    let encrypt = isEncrypted ? " /Encrypt 5 0 R /ID [<00> <00>]" : ""
    text += "trailer\n<< /Size \(objects.count + 1) /Root 1 0 R\(encrypt) >>\nstartxref\n\(start)\n%%EOF\n"
    return Array(text.utf8)
}
