/// Recognises files by what they start with.
enum FileSignature {
    private struct Signature {
        let offset: Int
        let bytes: [UInt8]
        let kind: FileKind

        init(_ bytes: [UInt8], at offset: Int = 0, _ title: String, _ mediaType: String) {
            self.offset = offset
            self.bytes = bytes
            kind = FileKind(title, mediaType)
        }

        init(_ text: StaticString, at offset: Int = 0, _ title: String, _ mediaType: String) {
            self.init(text.withUTF8Buffer { Array($0) }, at: offset, title, mediaType)
        }

        func matches(_ head: UnsafeRawBufferPointer) -> Bool {
            head.count >= offset + bytes.count && bytes.indices.allSatisfy { head[offset + $0] == bytes[$0] }
        }
    }

    // From the formats' own specifications; zip and OLE files are looked into below.
    private static let signatures: [Signature] = [
        Signature([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], "a PNG image", "image/png"),
        Signature([0xFF, 0xD8, 0xFF], "a JPEG image", "image/jpeg"),
        Signature("GIF8", "a GIF image", "image/gif"),
        Signature([0x49, 0x49, 0x2A, 0x00], "a TIFF image", "image/tiff"),
        Signature([0x4D, 0x4D, 0x00, 0x2A], "a TIFF image", "image/tiff"),
        Signature("WEBP", at: 8, "a WebP image", "image/webp"),
        Signature("WAVE", at: 8, "a sound recording", "audio/wav"),
        Signature("ID3", "a sound recording", "audio/mpeg"),
        Signature("OggS", "a sound recording", "audio/ogg"),
        Signature("fLaC", "a sound recording", "audio/flac"),
        Signature("ftyp", at: 4, "a video", "video/mp4"),
        Signature([0x1A, 0x45, 0xDF, 0xA3], "a video", "video/x-matroska"),
        Signature([0x7F, 0x45, 0x4C, 0x46], "a program (ELF)", "application/x-elf"),
        Signature([0x4D, 0x5A, 0x90, 0x00], "a Windows program", "application/vnd.microsoft.portable-executable"),
        Signature([0xCA, 0xFE, 0xBA, 0xBE], "a Java class", "application/java-vm"),
        Signature([0x00, 0x61, 0x73, 0x6D], "a WebAssembly module", "application/wasm"),
        Signature([0x1F, 0x8B], "a gzip archive", "application/gzip"),
        Signature("BZh", "a bzip2 archive", "application/x-bzip2"),
        Signature([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "an xz archive", "application/x-xz"),
        Signature([0x28, 0xB5, 0x2F, 0xFD], "a zstd archive", "application/zstd"),
        Signature([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7-Zip archive", "application/x-7z-compressed"),
        Signature("Rar!", "a RAR archive", "application/vnd.rar"),
        Signature("ustar", at: 257, "a tar archive", "application/x-tar"),
        Signature("SQLite format 3", "an SQLite database", "application/vnd.sqlite3"),
        Signature("PAR1", "a Parquet file", "application/vnd.apache.parquet"),
        Signature("{\\rtf", "a rich text document", "application/rtf"),
        Signature("%!PS", "a PostScript file", "application/postscript"),
        Signature("AT&TFORM", "a DjVu document", "image/vnd.djvu"),
        Signature("PK\u{03}\u{04}", "a ZIP archive", "application/zip"),
        Signature("PK\u{05}\u{06}", "an empty ZIP archive", "application/zip"),
        Signature([0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1], "an old Office file", "application/x-ole-storage"),
    ]

    /// Names of entries that tell what a ZIP archive is, most telling first.
    private static let zipContents: [(entry: StaticString, kind: FileKind)] = [
        (
            "word/",
            FileKind("a Word document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
        ),
        ("xl/", FileKind("an Excel workbook", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")),
        (
            "ppt/",
            FileKind(
                "a PowerPoint presentation", "application/vnd.openxmlformats-officedocument.presentationml.presentation"
            )
        ),
        ("application/epub+zip", FileKind("an e-book", "application/epub+zip")),
        ("opendocument.text", FileKind("an OpenDocument text", "application/vnd.oasis.opendocument.text")),
        (
            "opendocument.spreadsheet",
            FileKind("an OpenDocument spreadsheet", "application/vnd.oasis.opendocument.spreadsheet")
        ),
        (
            "opendocument.presentation",
            FileKind("an OpenDocument presentation", "application/vnd.oasis.opendocument.presentation")
        ),
    ]
    /// OLE files do not tell what they are at their start.
    private static let oleExtensions: [String: FileKind] = [
        "doc": FileKind("an old Word document", "application/msword"),
        "xls": FileKind("an old Excel workbook", "application/vnd.ms-excel"),
        "ppt": FileKind("an old PowerPoint presentation", "application/vnd.ms-powerpoint"),
        "msg": FileKind("an Outlook message", "application/vnd.ms-outlook"),
    ]

    /// Whether it is a PDF. The header may come as late as byte 1,024 (PDF 32000-1, annex H.3.4.1).
    static func isPDF(_ head: UnsafeRawBufferPointer) -> Bool {
        contains("%PDF-", in: UnsafeRawBufferPointer(rebasing: head.prefix(1024)))
    }

    /// What a file is that has the signature of something that is not read; nil when it has none.
    static func unsupported(_ head: UnsafeRawBufferPointer, extension fileExtension: String) -> FileKind? {
        guard let signature = signatures.first(where: { $0.matches(head) }) else { return nil }
        switch signature.kind.mediaType {
        case "application/zip": return zipContents.first { contains($0.entry, in: head) }?.kind ?? signature.kind
        case "application/x-ole-storage": return oleExtensions[fileExtension] ?? signature.kind
        default: return signature.kind
        }
    }

    private static func contains(_ text: StaticString, in bytes: UnsafeRawBufferPointer) -> Bool {
        text.withUTF8Buffer { wanted in
            guard let first = wanted.first, bytes.count >= wanted.count else { return false }
            return (0...(bytes.count - wanted.count)).contains { start in
                bytes[start] == first && wanted.indices.allSatisfy { bytes[start + $0] == wanted[$0] }
            }
        }
    }
}
