import Core
import Platform
import Testing

@Suite struct ConfigurationTests {
    private func resolve(
        _ text: String = "", flags: [String: String] = [:], environment: [String: String] = ["HOME": "/home/ada"]
    ) throws -> Configuration {
        try Configuration(
            flags: flags, environment: environment, file: ConfigFile(path: "/etc/acp.toml", text: text))
    }

    private func problems(_ text: String, flags: [String: String] = [:], environment: [String: String] = ["HOME": "/h"])
        -> [String]
    {
        do {
            _ = try resolve(text, flags: flags, environment: environment)
            return []
        } catch {
            return (error as? Failure)?.fields.map(\.description) ?? ["\(error)"]
        }
    }

    @Test func flagsBeatEnvironmentBeatsFileBeatsDefault() throws {
        let file = "[gateway]\nport = 1001\n[ingest]\nport = 1002\n[agents]\nport = 1003\n"
        let configuration = try resolve(
            file, flags: ["gateway.port": "3001"],
            environment: ["HOME": "/h", "ACP_GATEWAY_PORT": "2001", "ACP_INGEST_PORT": "2002"])
        #expect(configuration[.gatewayPort] == 3001)
        #expect(configuration[.ingestPort] == 2002)
        #expect(configuration[.agentsPort] == 1003)
        #expect(configuration[.databasePoolMax] == 8)
        #expect(try configuration.setting("gateway.port").origin == .flag)
        #expect(try configuration.setting("ingest.port").origin == .environment("ACP_INGEST_PORT"))
        #expect(try configuration.setting("agents.port").origin == .file(path: "/etc/acp.toml", line: 6))
        #expect(try configuration.setting("database.pool-max").origin == .builtIn)
        #expect(try configuration.setting("agents.port").origin.description == "/etc/acp.toml:6")
    }

    @Test func everyDefaultIsAccepted() throws {
        let configuration = try resolve(environment: ["HOME": "/home/ada", "XDG_DATA_HOME": "/data"])
        #expect(configuration.all.count == ConfigTable.entries.count)
        #expect(configuration[.ingestUploadBytesMax] == Limits.uploadBytesMax)
        #expect(configuration[.ingestBatchFilesMax] == 50)
        #expect(configuration[.databaseAcquireTimeout] == .seconds(5))
        #expect(configuration[.rpcFrameBytesMax] == 65_536)
        #expect(configuration[.databaseURL] == nil)
        #expect(configuration[.apiKey] == nil)
        #expect(configuration[.rpcInsecureAllow] == false)
        #expect(configuration[.gatewayHost] == "127.0.0.1")
        #expect(["/var/lib/acp", "/data/acp"].contains(configuration[.dataDirectory]))
    }

    @Test func addressesFollowHostAndPort() throws {
        let configuration = try resolve("ingest.port = 9000\nagents.host = \"::1\"\ngateway.host = \"0.0.0.0\"\n")
        #expect(configuration[.ingestURL] == "acp://127.0.0.1:9000")
        #expect(configuration[.agentsURL] == "acp://[::1]:8001")
        #expect(configuration[.gatewayURL] == "http://127.0.0.1:8080")
        #expect(try resolve("ingest.url = \"http://box:1\"\n")[.ingestURL] == "http://box:1")
    }

    @Test func addressesAreEncryptedWhereServicesTakeNothingElse() throws {
        let far = "ingest.host = \"192.0.2.1\"\ngateway.host = \"0.0.0.0\"\n"
        #expect(try resolve(far)[.ingestURL] == "acp://192.0.2.1:8000")
        let tls = "rpc.tls-certificate = \"/c.pem\"\nrpc.tls-key = \"/k.pem\"\n"
        let configuration = try resolve(far + tls)
        #expect(configuration[.ingestURL] == "acps://192.0.2.1:8000")
        // This machine needs no TLS, and its address is hardly ever in a certificate.
        #expect(configuration[.agentsURL] == "acp://127.0.0.1:8001")
        #expect(configuration[.gatewayURL] == "http://127.0.0.1:8080")
        let mutual = try resolve(far + tls + "rpc.tls-require-client-certificate = true\n")
        #expect(mutual[.agentsURL] == "acps://127.0.0.1:8001")
        #expect(mutual[.gatewayURL] == "https://127.0.0.1:8080")
    }

    @Test func readsEveryKindFromTheFile() throws {
        let configuration = try resolve(
            """
            # comment
            output = 'json'   # literal text
            timeout = "1500ms"
            api-key = "acp_x"
            data-dir = "~/acp data"
            rpc.insecure-allow = true
            [ingest]
            upload-bytes-max = 1_000_000
            extractor-path = "/opt/\\u0061cp-extract"
            [ rpc ]
            message-bytes-max = "8 MiB"
            keepalive="2m"
            """)
        #expect(configuration[.output] == "json")
        #expect(configuration[.timeout] == .milliseconds(1500))
        #expect(configuration[.dataDirectory] == "/home/ada/acp data")
        #expect(configuration[.rpcInsecureAllow])
        #expect(configuration[.ingestUploadBytesMax] == 1_000_000)
        #expect(configuration[.ingestExtractorPath] == "/opt/acp-extract")
        #expect(configuration[.rpcMessageBytesMax] == 8 << 20)
        #expect(configuration[.rpcKeepalive] == .seconds(120))
        #expect(try configuration[.apiKey]?.reveal() == "acp_x")
    }

    @Test(arguments: [
        ("gatway.port = 1", "/etc/acp.toml:1: there is no setting gatway.port; did you mean gateway.port?"),
        ("[gateway]\n\nprot = 1", "/etc/acp.toml:3: there is no setting gateway.prot; did you mean gateway.port?"),
        ("wholly.unknown = 1", "/etc/acp.toml:1: there is no setting wholly.unknown"),
        ("gateway.port = \"80\"", "gateway.port does not take \"80\"; accepted: a whole number from 0 to 65535"),
        ("gateway.port = 65536", "gateway.port does not take \"65536\"; accepted: a whole number from 0 to 65535"),
        ("gateway.port = -1", "accepted: a whole number from 0 to 65535"),
        ("output = \"jsno\"", "accepted: table, wide, json, jsonl, yaml; did you mean json?"),
        ("output = json", "/etc/acp.toml:1: text must stand in double quotes: \"json\""),
        ("timeout = \"10\"", "accepted: a number with a unit (ms, s, m, h, d) from 1ms to 1d"),
        ("timeout = \"99999999999999999999s\"", "timeout does not take"),
        ("timeout = \"9223372036854775807h\"", "timeout does not take"),
        ("rpc.insecure-allow = \"true\"", "accepted: true or false"),
        ("rpc.frame-bytes-max = 2000000", "from 16384 to 1048576"),
        ("redis.url = \"http://x\"", "accepted: redis://…, unix://…, or a reference"),
        ("redis.url = \"redis://\"", "redis.url does not take"),
        ("redis.url = \"env:NOT_THERE\"", "environment variable NOT_THERE, which is not set"),
        ("data-dir = \"relative\"", "accepted: an absolute path"),
        ("gateway.port = 1\ngateway.port = 2", "/etc/acp.toml:2: gateway.port is already set in line 1"),
        ("[gateway\n", "the section has no closing ]"),
        ("gateway.port", "expected `key = value` or `[section]`"),
        ("gateway.port =", "there is no value after ="),
        ("gateway.port = 1 2", "there is text after the value"),
        ("output = \"json", "the text has no closing \""),
        ("output = 'json", "the text has no closing '"),
        ("output = \"\\q\"", "\\q is not known"),
        ("output = \"\\ud800\"", "is not a Unicode character"),
        ("out put! = 1", "names consist of"),
    ])
    func badFilesAreRefusedWithPlaceAndRemedy(_ text: String, _ expected: String) {
        let found = problems(text)
        #expect(found.count == 1)
        #expect(found.first?.contains(expected) == true, "\(found)")
        #expect(found.first?.hasPrefix("/etc/acp.toml:") == true)
    }

    @Test func allMistakesAreNamedAtOnce() {
        let found = problems(
            "a = 1\nb = 2\n", flags: ["gateway.port": "x", "nope": "1"],
            environment: ["HOME": "/h", "ACP_OUTPUT": "xml"])
        #expect(found.count == 5)
        #expect(found.contains { $0.hasPrefix("flag: there is no setting nope") })
        #expect(found.contains { $0.hasPrefix("environment ACP_OUTPUT: output does not take \"xml\"") })
    }

    @Test func misspeltVariablesAreWarnedAbout() throws {
        let configuration = try resolve(environment: ["HOME": "/h", "ACP_GATEWAY_PROT": "1", "ACP_BIN_DIR": "/x"])
        #expect(configuration.warnings.count == 1)
        #expect(configuration.warnings.first?.contains("Did you mean ACP_GATEWAY_PORT?") == true)
    }

    @Test func secretsAndPasswordsAreNeverShown() throws {
        let configuration = try resolve(
            """
            api-key = "acp_hunter2"
            database.url = "postgresql://ada:hunter2@db:5432/acp?password=hunter2&x=1"
            redis.url = "redis://:hunter2@cache:6379"
            """)
        #expect(try configuration.setting("api-key").shown == "***")
        #expect(
            try configuration.setting("database.url").shown == "postgresql://ada:***@db:5432/acp?password=***&x=1")
        #expect(try configuration.setting("redis.url").shown == "redis://:***@cache:6379")
        #expect(configuration[.databaseURL] == "postgresql://ada:hunter2@db:5432/acp?password=hunter2&x=1")
        var dumped = ""
        dump(configuration[.apiKey], to: &dumped)
        #expect(!dumped.contains("hunter2") && !"\(String(describing: configuration[.apiKey]))".contains("hunter2"))
        #expect(problems("redis.url = \"http://a:hunter2@x\"").first?.contains("hunter2") == false)
    }

    @Test func referencesAreFollowed() throws {
        let directory = try TemporaryDirectory()
        let key = try directory.write("from-file\n", to: "key")
        let environment = ["HOME": "/h", "DB": "postgresql:///acp"]
        let configuration = try resolve(
            "api-key = \"file:\(key)\"\ndatabase.url = \"env:DB\"\n", environment: environment)
        #expect(try configuration[.apiKey]?.reveal() == "from-file")
        #expect(configuration[.databaseURL] == "postgresql:///acp")
        #expect(try configuration.setting("api-key").shown == "file:\(key)")
        #expect(try Secret("env:K").reveal(environment: ["K": "v"]) == "v")
        #expect(throws: Failure.self) { try Secret("env:K").reveal(environment: [:]) }
        #expect(throws: Failure.self) { try Secret("file:/nonexistent/key").reveal() }
        #expect(throws: Failure.self) { try Secret("file:\(try directory.write("\n", to: "empty"))").reveal() }
    }

    @Test func unknownSettingsSuggestTheRightOne() throws {
        let configuration = try resolve()
        #expect {
            _ = try configuration.setting("ingest.prot")
        } throws: {
            ($0 as? Failure)?.message.contains("Did you mean ingest.port?") == true
        }
    }

    @Test func theUsualFileIsFoundByXDG() {
        #expect(Configuration.defaultPath(environment: ["HOME": "/h"]) == "/h/.config/acp/config.toml")
        #expect(Configuration.defaultPath(environment: ["XDG_CONFIG_HOME": "/x"]) == "/x/acp/config.toml")
        #expect(Configuration.defaultPath(environment: ["HOME": "/h", "ACP_CONFIG": "/y.toml"]) == "/y.toml")
    }

    @Test func aNamedFileHasToExistAndAnUnnamedOneNeedNot() throws {
        let directory = try TemporaryDirectory()
        let environment = ["HOME": directory.path]
        #expect(throws: Failure.self) {
            try Configuration.load(configPath: "\(directory.path)/none.toml", environment: environment)
        }
        let configuration = try Configuration.load(environment: environment)
        #expect(configuration.path == "\(directory.path)/.config/acp/config.toml")
    }
}
