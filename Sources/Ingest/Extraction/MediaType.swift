public import Core

/// A type of document that can be read. The raw value is its IANA name.
public enum MediaType: String, Sendable, Hashable, CaseIterable {
    case plainText = "text/plain"
    case markdown = "text/markdown"
    case html = "text/html"
    case pdf = "application/pdf"

    /// What people call it.
    public var title: String {
        switch self {
        case .plainText: "plain text"
        case .markdown: "Markdown"
        case .html: "HTML"
        case .pdf: "PDF"
        }
    }

    /// Bytes from the start of a file that `detect` makes use of.
    public static let headBytesMax = 65_536

    /// Finds out what a file is from its content. Its name and declared type are hints, used only between kinds of text.
    ///
    /// - Parameters:
    ///   - head: the first `headBytesMax` bytes of the file, or all of it.
    ///   - fileName: as uploaded; may be empty.
    ///   - declared: the content type the sender claims; may be empty.
    /// - Throws: INVALID_ARGUMENT with reason EMPTY_FILE or UNSUPPORTED_TYPE.
    public static func detect(
        _ head: UnsafeRawBufferPointer, fileName: String, declared: String = ""
    ) throws(Failure) -> MediaType {
        guard !head.isEmpty else {
            throw Failure(
                .invalidArgument, reason: "EMPTY_FILE", "The file is empty.",
                remedy: "Check the file and upload it again.")
        }
        let head = UnsafeRawBufferPointer(rebasing: head.prefix(headBytesMax))
        let name = FileNameHint(fileName, declared: declared)
        if FileSignature.isPDF(head) { return .pdf }
        if let kind = FileSignature.unsupported(head, extension: name.fileExtension) { throw .unsupported(kind) }
        guard let text = TextSample(head) else {
            throw .unsupported(FileKind("a binary file", "application/octet-stream"))
        }
        if text.isMail(hint: name) { throw .unsupported(FileKind("a mail message", "message/rfc822")) }
        if text.isHTML(hint: name) { return .html }
        return text.isMarkdown(hint: name) ? .markdown : .plainText
    }
}

/// What a file's name and declared type suggest.
struct FileNameHint {
    /// Lower case, without the dot; empty when there is none.
    let fileExtension: String
    /// Lower case, without parameters.
    let declared: String

    init(_ fileName: String, declared: String) {
        let name = fileName.split(separator: "/").last ?? ""
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        fileExtension = parts.count > 1 ? parts.last?.lowercased() ?? "" : ""
        self.declared = declared.split(separator: ";").first.map { $0.lowercased().filter { $0 != " " } } ?? ""
    }
}

/// A kind of file that is recognised and not read.
struct FileKind {
    /// With its article: "a Word document".
    let title: String
    let mediaType: String

    init(_ title: String, _ mediaType: String) {
        self.title = title
        self.mediaType = mediaType
    }
}

extension Failure {
    static func unsupported(_ kind: FileKind) -> Failure {
        let accepted = MediaType.allCases.map(\.title).joined(separator: ", ")
        return Failure(
            .invalidArgument, reason: "UNSUPPORTED_TYPE",
            "The file is \(kind.title) (\(kind.mediaType)), which cannot be read.",
            remedy: "Types read now: \(accepted). Convert the file to one of them and upload that.")
    }
}
