import Core
import Glibc
import Platform
import Testing

@Suite struct ConfigFileTests {
    private let root = String(#filePath.dropLast("/Tests/PlatformTests/ConfigFileTests.swift".count))

    private func rewrite(_ text: String, _ values: [(key: String, value: String?)]) throws -> String {
        let directory = try TemporaryDirectory()
        let path = try directory.write(text, to: "config.toml", mode: 0o644)
        try Configuration.set(values, inFile: path)
        #expect(TemporaryDirectory.mode(of: path) == 0o600)
        #expect(TemporaryDirectory.entries(of: directory.path) == ["config.toml"])
        return try TemporaryDirectory.read(path)
    }

    @Test func aValueIsReplacedInItsLineAndAllElseStays() throws {
        let before = "# top\n\n[gateway]\n  port   = 8080   # keep me\nhost = \"0.0.0.0\"\n\n[ingest]\nport = 1\n"
        let after = "# top\n\n[gateway]\n  port   = 9090   # keep me\nhost = \"0.0.0.0\"\n\n[ingest]\nport = 1\n"
        #expect(try rewrite(before, [("gateway.port", "9090")]) == after)
    }

    @Test func aNewValueGoesToItsSection() throws {
        #expect(
            try rewrite("[gateway]\nport = 1\n\n[ingest]\nport = 2\n", [("gateway.host", "::1")])
                == "[gateway]\nport = 1\nhost = \"::1\"\n\n[ingest]\nport = 2\n")
        #expect(
            try rewrite("gateway.port = 1\n", [("gateway.host", "h")]) == "gateway.port = 1\ngateway.host = \"h\"\n")
        #expect(
            try rewrite("output = \"json\"\n", [("log.level", "debug")])
                == "output = \"json\"\n\n[log]\nlevel = \"debug\"\n")
        #expect(
            try rewrite("[log]\nlevel = \"info\"\n", [("output", "json")])
                == "output = \"json\"\n[log]\nlevel = \"info\"\n")
        #expect(
            try rewrite("", [("ingest.url", "acp://h:1"), ("api-key", "env:K")])
                == "api-key = \"env:K\"\n[ingest]\nurl = \"acp://h:1\"\n")
    }

    @Test func removingTakesOnlyThatLine() throws {
        #expect(
            try rewrite("[log]\nlevel = \"info\"\nformat = \"text\"\n", [("log.level", nil)])
                == "[log]\nformat = \"text\"\n")
        #expect(try rewrite("# c\n", [("log.level", nil)]) == "# c\n")
    }

    @Test func whatWasSetIsReadBack() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/deep/er/config.toml"
        let odd = "quote \" backslash \\ tab \t bell \u{7} é"
        try Configuration.set(
            [
                ("gateway.host", odd), ("rpc.keepalive", "90s"), ("ingest.upload-bytes-max", "5000"),
                ("log.file-bytes-max", "8MB"),
            ],
            inFile: path)
        let configuration = try Configuration.load(configPath: path, environment: ["HOME": "/h"])
        #expect(configuration[.gatewayHost] == odd)
        #expect(configuration[.rpcKeepalive] == .seconds(90))
        #expect(configuration[.ingestUploadBytesMax] == 5000)
        #expect(configuration[.logFileBytesMax] == 8_000_000)
        #expect(TemporaryDirectory.mode(of: path) == 0o600)
    }

    @Test func badValuesAndBrokenFilesAreLeftAlone() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("gateway.port = 1\n", to: "config.toml")
        #expect(throws: Failure.self) { try Configuration.set([("gateway.port", "x")], inFile: path) }
        #expect(throws: Failure.self) {
            try Configuration.set([("log.level", "debug"), ("gatewayport", "1")], inFile: path)
        }
        #expect(try directory.read("config.toml") == "gateway.port = 1\n")
        let broken = try directory.write("what is this\n", to: "broken.toml")
        #expect(throws: Failure.self) { try Configuration.set([("gateway.port", "1")], inFile: broken) }
        #expect(try directory.read("broken.toml") == "what is this\n")
    }

    @Test func aLinkToTheFileStaysALink() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("", to: "real.toml")
        let link = "\(directory.path)/link.toml"
        #expect(symlink(path, link) == 0)
        try Configuration.set([("output", "json")], inFile: link)
        #expect(try directory.read("real.toml") == "output = \"json\"\n")
        var status = stat()
        #expect(lstat(link, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    }

    @Test func windowsLineEndsAreUnderstood() throws {
        let configuration = try Configuration(
            flags: [:], environment: ["HOME": "/h"],
            file: ConfigFile(path: "c", text: "[gateway]\r\nport = 81\r\n"))
        #expect(configuration[.gatewayPort] == 81)
    }

    @Test func hugeAndBinaryFilesAreRefused() throws {
        let directory = try TemporaryDirectory()
        let huge = try directory.write(String(repeating: "#", count: ConfigFile.fileBytesMax + 1), to: "huge")
        #expect(throws: Failure.self) { try ConfigFile(path: huge) }
        #expect(throws: Failure.self) { try ConfigFile(path: directory.path) }
        let descriptor = open("\(directory.path)/binary", O_WRONLY | O_CREAT, 0o600)
        let bytes: [UInt8] = [0xFF, 0xFE, 0x00]
        #expect(write(descriptor, bytes, 3) == 3)
        close(descriptor)
        #expect(throws: Failure.self) { try ConfigFile(path: "\(directory.path)/binary") }
    }

    @Test func aReadableSecretIsWarnedAbout() throws {
        let directory = try TemporaryDirectory()
        let open = try directory.write("api-key = \"acp_x\"\n", to: "open.toml", mode: 0o644)
        #expect(chmod(open, 0o644) == 0)
        let closed = try directory.write("api-key = \"acp_x\"\n", to: "closed.toml")
        let environment = ["HOME": "/h"]
        #expect(try Configuration.load(configPath: open, environment: environment).warnings.count == 1)
        #expect(try Configuration.load(configPath: closed, environment: environment).warnings.isEmpty)
    }

    @Test func theCommittedDocumentationIsCurrent() throws {
        let path = "\(root)/docs/configuration.md"
        if getenv("UPDATE_DOCS") != nil { try TemporaryDirectory.write(ConfigDocumentation.markdown(), toFile: path) }
        let isCurrent = try TemporaryDirectory.read(path) == ConfigDocumentation.markdown()
        #expect(isCurrent, "docs/configuration.md is not what the table says; run dev/generate-docs")
    }

    @Test func everyKeyIsInTheTable() throws {
        let source = try ["ConfigTable", "EncryptionKeys"].map {
            try TemporaryDirectory.read("\(root)/Sources/Platform/Configuration/\($0).swift")
        }
        let declared = source.joined().split(separator: "\n").filter {
            $0.contains("public static var ") && $0.contains(": Self {")
        }
        #expect(declared.count == ConfigTable.entries.count)
        #expect(Set(ConfigTable.entries.map(\.environmentName)).count == ConfigTable.entries.count)
        #expect(ConfigTable.entries.allSatisfy { $0.documentation.hasSuffix(".") })
    }
}

@Suite struct SpellingTests {
    @Test func findsTheNearestWord() {
        #expect(Spelling.nearest(to: "serach", among: ["search", "status"]) == "search")
        #expect(Spelling.nearest(to: "xyz", among: ["search", "status"]) == nil)
        #expect(Spelling.nearest(to: "", among: ["search"]) == nil)
        #expect(Spelling.nearest(to: "Search", among: ["search"]) == "search")
    }
}
