import Core
import Ingest
import Testing

@Suite struct MediaTypeTests {
    private func detect(_ bytes: [UInt8], _ name: String = "", declared: String = "") throws -> MediaType {
        try bytes.withUnsafeBytes { head throws(Failure) in
            try MediaType.detect(head, fileName: name, declared: declared)
        }
    }

    @Test(arguments: [
        ("%PDF-1.7\n", "x.txt", MediaType.pdf),
        ("\n\n junk %PDF-1.4", "", .pdf),
        ("<!DOCTYPE html><p>hi", "page", .html),
        ("  <!-- c --><HTML lang=en>", "page.txt", .html),
        ("<?xml version=\"1.0\"?>\n<html xmlns=\"x\">", "a.xhtml", .html),
        ("<h1>Title</h1><p>a</p>", "", .html),
        ("<p>only a hint</p>", "a.html", .html),
        ("<config><a/></config>", "a.xml", .plainText),
        ("a < b", "a.txt", .plainText),
        ("just words", "README.md", .markdown),
        ("just words", "notes", .plainText),
        ("# Title\n\n- a\n- b\n", "notes.txt", .markdown),
        ("# comment\nkey = 1\n# comment\nkey = 2\n", "a.conf", .plainText),
        ("# comment\nkey = 1\n# comment\nkey = 2\n", "", .plainText),
        ("From: Ada\nTo: Bo\nSubject: pump\nDate: today\n\nHello", "memo.txt", .plainText),
        ("id,name\n1,a\n", "a.csv", .plainText),
    ])
    func `content decides, names are hints`(_ text: String, _ name: String, _ expected: MediaType) throws {
        #expect(try detect(Array(text.utf8), name) == expected)
    }

    @Test func `UTF-16 is text, and HTML in it is HTML`() throws {
        let text = "\u{FEFF}<html><body>x".utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
        #expect(try detect(text) == .html)
        #expect(try detect("plain words".utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }) == .plainText)
    }

    @Test(arguments: [
        ([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 1], "a.docx", "image/png"),
        ([0x7F, 0x45, 0x4C, 0x46, 2, 1], "a.txt", "application/x-elf"),
        ([0x1F, 0x8B, 8], "a.md", "application/gzip"),
        ([0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1], "a.doc", "application/msword"),
        (Array("PK\u{03}\u{04}....word/document.xml".utf8), "a.zip", "wordprocessingml"),
        (Array("PK\u{03}\u{04}....mimetypeapplication/epub+zip".utf8), "", "application/epub+zip"),
        (Array("{\\rtf1 hello}".utf8), "a.rtf", "application/rtf"),
        ([0, 1, 2, 3, 0, 0, 5], "a.txt", "application/octet-stream"),
        (Array("Received: by x\nMessage-ID: <a>\nFrom: a\n\nhi".utf8), "a.eml", "message/rfc822"),
    ])
    func `what cannot be read is refused by its name`(_ bytes: [UInt8], _ name: String, _ mediaType: String) throws {
        let failure = #expect(throws: Failure.self) { try detect(bytes, name) }
        #expect(failure?.code == .invalidArgument)
        #expect(failure?.reason == "UNSUPPORTED_TYPE")
        #expect(failure?.message.contains(mediaType) == true)
        #expect(failure?.remedy.contains("PDF") == true)
    }

    @Test func `nothing is no document`() throws {
        let failure = #expect(throws: Failure.self) { try detect([], "a.txt") }
        #expect(failure?.reason == "EMPTY_FILE")
    }
}
