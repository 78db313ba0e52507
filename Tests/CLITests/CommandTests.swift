import ArgumentParser
import Core
import Foundation
import Glibc
import RPC
import Testing

@testable import CLI

/// The client commands by themselves, with no service anywhere.
struct Root: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "acp", subcommands: ClientCommands.all)
}

@Suite struct CommandTests {
    /// Port 1 answers nobody.
    private static let nowhere = ["--ingest-url", "acp://127.0.0.1:1", "--agents-url", "acp://127.0.0.1:1", "--quiet"]

    @Test(
        arguments: [
            (["search", "x"], 6), (["ask", "x"], 6), (["ingest", "jobs"], 6), (["keys", "list"], 6),
            (["ingest", "documents"], 6), (["ingest", "paste", "text"], 6),
        ] as [([String], Int32)])
    func anUnreachableServiceEndsWithSix(_ arguments: [String], _ status: Int32) async {
        #expect(await CommandRunner.run(Root.self, arguments + Self.nowhere) == status)
    }

    @Test(arguments: [
        ["serch", "x"], ["ingest", "uplod", "x"], ["search"], ["search", "x", "--limit", "many"],
        ["search", "x", "--limit", "101"], ["search", "x", "--filter", "novalue"], ["search", "x", "-o", "xml"],
        ["ask", "x", "--sentences", "0"], ["search", "x", "--timeout", "soon"], ["config", "set-service", "ingest"],
        ["config", "set-service", "nobody", "--url", "acp://h:1"], ["ingest", "paste", ""],
    ])
    func wrongCommandLinesEndWith64(_ arguments: [String]) async {
        #expect(await CommandRunner.run(Root.self, arguments) == 64)
    }

    @Test(arguments: [
        ["--help"], ["search", "--help"], ["ask", "--help"], ["ingest", "--help"], ["ingest", "upload", "--help"],
        ["ingest", "paste", "--help"], ["ingest", "jobs", "--help"], ["ingest", "status", "--help"],
        ["ingest", "documents", "--help"], ["ingest", "delete", "--help"], ["cite", "verify", "--help"],
        ["config", "show", "--help"], ["config", "set-service", "--help"], ["config", "validate", "--help"],
        ["keys", "create", "--help"], ["keys", "list", "--help"], ["keys", "revoke", "--help"], ["status", "--help"],
        ["rpc", "--help"], ["rpc", "list", "--help"], ["rpc", "describe", "--help"], ["rpc", "call", "--help"],
    ])
    func everyHelpPageEndsWithZeroAndHasAnExample(_ arguments: [String]) async throws {
        var current: any ParsableCommand.Type = Root.self
        for name in arguments.dropLast() {
            current = try #require(current.configuration.subcommands.first { $0.configuration.commandName == name })
        }
        if current != Root.self { #expect(current.helpMessage().contains("Example:\n  acp ")) }
        #expect(await CommandRunner.run(Root.self, arguments) == 0)
    }

    @Test func aKeyIsNotSentToAnotherMachineUnencrypted() async {
        let status = await CommandRunner.run(
            Root.self, ["search", "x", "--ingest-url", "acp://192.0.2.1:8000", "--quiet"])
        #expect(status == 1)
    }

    @Test func settingsAreWrittenAndValidated() async throws {
        try await withDirectory { directory in
            let file = "\(directory)/config.toml"
            let set = [
                "config", "set-service", "ingest", "--url", "http://localhost:8123", "--config", file, "--quiet",
            ]
            #expect(await CommandRunner.run(Root.self, set) == 0)
            let text = try readSmallFile(file, bytesMax: 10_000).get()
            #expect(String(decoding: text, as: UTF8.self).contains("http://localhost:8123"))
            #expect(await CommandRunner.run(Root.self, ["config", "validate", "--config", file]) == 0)
            try write("gateway.port = \"many\"\n", to: file)
            #expect(await CommandRunner.run(Root.self, ["config", "validate", "--config", file]) == 1)
        }
    }

    @Test func failuresSayWhatWhereAndWhatNext() {
        let failure = Failure(.unavailable, reason: "UNREACHABLE", "Cannot\u{1B} reach it.", remedy: "Start it.")
        let text = ErrorPresenter.text(
            LocatedFailure(failure: failure, requestID: "r1", traceID: "t1", service: "ingest at h:1"))
        #expect(
            text == """
                acp: error: Cannot\u{FFFD} reach it.
                  where: UNAVAILABLE UNREACHABLE, ingest at h:1, request r1, trace t1
                  next:  Start it.

                """)
    }

    @Test(arguments: [
        ("./a/../b//c", "/b/c"), ("/x/./y", "/x/y"), ("/../..", "/"),
    ])
    func pathsAreMadeAbsolute(_ path: String, _ end: String) {
        #expect(absolutePath(path).hasSuffix(end))
        #expect(absolutePath(path).hasPrefix("/"))
    }
}

@Suite struct FileTreeTests {
    @Test func directoriesAreWalkedInOrderWithoutHiddenFilesAndLinks() async throws {
        try await withDirectory { directory in
            try write("b", to: "\(directory)/b.md")
            try write("a", to: "\(directory)/a.txt")
            try write("h", to: "\(directory)/.hidden.md")
            try write("p", to: "\(directory)/picture.PNG")
            mkdir("\(directory)/sub", 0o700)
            try write("c", to: "\(directory)/sub/c.HTML")
            symlink("/etc", "\(directory)/outside")
            symlink(directory, "\(directory)/sub/circle")
            let listing = try FileTree.files(at: directory)
            #expect(listing.files.map(\.path) == ["a.txt", "b.md", "sub/c.HTML"].map { "\(directory)/\($0)" })
            #expect(
                listing.skipped.map(\.path).sorted()
                    == ["outside", "picture.PNG", "sub/circle"].map { "\(directory)/\($0)" })
            #expect(listing.failed.isEmpty)
        }
    }

    @Test func theOriginIsTheSameHoweverThePathIsWritten() async throws {
        try await withDirectory { directory in
            try write("a", to: "\(directory)/a.bin")
            let origins = try ["\(directory)/a.bin", "\(directory)/./a.bin"].map {
                try FileTree.files(at: $0).files[0].origin
            }
            #expect(Set(origins).count == 1)
        }
    }

    @Test func filesAreCheckedBeforeTheyAreSent() async throws {
        try await withDirectory { directory in
            let reader = try FileReader()
            try write("", to: "\(directory)/empty.txt")
            try write("four", to: "\(directory)/four.txt")
            await #expect(throws: Failure.self) {
                _ = try await reader.open("\(directory)/empty.txt", headBytes: 10, bytesMax: 100)
            }
            await #expect(throws: Failure.self) {
                _ = try await reader.open("\(directory)/four.txt", headBytes: 10, bytesMax: 3)
            }
            await #expect(throws: Failure.self) { _ = try await reader.open(directory, headBytes: 10, bytesMax: 3) }
            let whole = try await reader.open("\(directory)/four.txt", headBytes: 10, bytesMax: 100)
            #expect(whole.descriptor == nil && whole.head == Array("four".utf8))
            let part = try await reader.open("\(directory)/four.txt", headBytes: 3, bytesMax: 100)
            let descriptor = try #require(part.descriptor)
            #expect(try await reader.read(descriptor, 10, path: "four.txt") == Array("r".utf8))
            await reader.close(descriptor)
        }
    }
}

@Suite struct CitationInputTests {
    private static let citation = #"{"documentId":"d","revisionId":"r","start":"1","end":"3","quote":"ab"}"#

    @Test(arguments: [
        citation, "[\(citation)]", #"{"citations":[\#(citation)]}"#,
        #"{"outcome":"ANSWERED","sentences":[{"text":"ab","citations":[\#(citation)]}]}"#,
        #"{"answer":{"sentences":[{"text":"ab","citations":[\#(citation)]}]}}"#,
    ])
    func everyFormOfCitationsIsRead(_ json: String) throws {
        let claims = try CiteVerify.parse(Array(json.utf8))
        #expect(claims.count == 1)
        #expect(claims.first?.citation?.quote == "ab")
    }

    @Test func aSentenceWithoutCitationIsAClaimWithoutProof() throws {
        let claims = try CiteVerify.parse(Array(#"{"sentences":[{"text":"ab"}]}"#.utf8))
        #expect(claims.count == 1 && claims.first?.citation == nil)
    }

    @Test func otherJSONIsRefused() {
        #expect(throws: Failure.self) { try CiteVerify.parse(Array(#"{"a":1}"#.utf8)) }
        #expect(throws: Failure.self) { try CiteVerify.parse(Array("text".utf8)) }
    }
}

/// A directory that is removed afterwards.
private func withDirectory(_ body: (String) async throws -> Void) async throws {
    var template = Array("/tmp/acp-cli-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil, let real = realpath(template, nil) else { return }
    let directory = String(cString: real)
    free(real)
    do {
        try await body(directory)
    } catch {
        removeTree(directory)
        throw error
    }
    removeTree(directory)
}

private func removeTree(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

private func write(_ text: String, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    #expect(descriptor >= 0)
    defer { close(descriptor) }
    #expect(Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
}
