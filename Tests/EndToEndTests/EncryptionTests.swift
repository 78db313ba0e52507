import Foundation
import Glibc
import Testing

/// Services that know each other and their callers by certificate, as on machines of their own.
@Suite(
    .serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"),
    .enabled(if: access("/usr/bin/openssl", X_OK) == 0, "openssl is not installed; dev/setup installs it"),
    .timeLimit(.minutes(3)))
struct EncryptionTests {
    @Test func theMainJobRunsOverMutualTLS() async throws {
        try await withCertificates { certificates in
            try await withServices(settings: Self.settings(certificates)) { system in
                try await system.serveAll()
                try system.write(
                    "docs/retention.md", "# Retention\n\n## Backups\n\nBackups are kept for seven years.\n")
                let upload = try await system.acp("ingest", "upload", "\(system.directory)/docs", "-o", "json")
                #expect(upload.status == 0, "\(upload.errors)")
                // The agents service asks the ingest service, and shows it the same certificate.
                let answer = try await system.acp("ask", "How long are backups kept?", "-o", "json")
                #expect(
                    answer.status == 0 && answer.output.contains("seven years"), "\(answer.output) \(answer.errors)")
                #expect(try await system.acp("config", "validate").status == 0)

                let page = try await curl(
                    system, certificates,
                    ["--cert", "\(certificates)/client.pem", "--key", "\(certificates)/client.key"])
                #expect(page.status == 0 && page.output.hasPrefix("HTTP/1.1 200"), "\(page.output) \(page.errors)")
                #expect(try await curl(system, certificates, []).status != 0)
            }
        }
    }

    @Test func whoShowsNoCertificateOrSpeaksPlainIsToldWhatToDo() async throws {
        try await withCertificates { certificates in
            try await withServices(settings: Self.settings(certificates)) { system in
                try await system.serve("ingest")
                let nobody = try await system.acp(
                    "search", "x",
                    environment: ["ACP_RPC_TLS_CLIENT_CERTIFICATE": "", "ACP_RPC_TLS_CLIENT_KEY": ""])
                #expect(nobody.status == 4, "\(nobody.errors)")
                #expect(nobody.errors.contains("rpc.tls-client-certificate"), "\(nobody.errors)")
                let stranger = try await system.acp(
                    "search", "x",
                    environment: ["ACP_RPC_TLS_CA": "\(certificates)/other-ca.pem"])
                #expect(stranger.status == 1, "\(stranger.errors)")
                #expect(stranger.errors.contains("rpc.tls-ca"), "\(stranger.errors)")
                let plain = try await system.acp(
                    "search", "x", "--ingest-url", "acp://127.0.0.1:\(system.ports.ingest)")
                #expect(plain.status == 1 && plain.errors.contains("acps://"), "\(plain.errors)")
            }
        }
    }

    @Test func aServiceDoesNotStartWithACertificateThatItCannotUse() async throws {
        try await withCertificates { certificates in
            var settings = Self.settings(certificates)
            settings["ACP_RPC_TLS_KEY"] = "\(certificates)/client.key"
            try await withServices(settings: settings) { system in
                let ended = try await system.acp("serve", "ingest", seconds: 30)
                #expect(ended.status != 0)
                #expect(ended.errors.contains("client.key does not belong to the certificate"), "\(ended.errors)")
                let checked = try await system.acp("config", "validate")
                #expect(checked.status != 0 && checked.errors.contains("client.key"), "\(checked.errors)")
            }
        }
    }

    private static func settings(_ certificates: String) -> [String: String] {
        [
            "ACP_RPC_TLS_CERTIFICATE": "\(certificates)/server.pem", "ACP_RPC_TLS_KEY": "\(certificates)/server.key",
            "ACP_RPC_TLS_CLIENT_CA": "\(certificates)/ca.pem", "ACP_RPC_TLS_REQUIRE_CLIENT_CERTIFICATE": "true",
            "ACP_RPC_TLS_CA": "\(certificates)/ca.pem",
            "ACP_RPC_TLS_CLIENT_CERTIFICATE": "\(certificates)/client.pem",
            "ACP_RPC_TLS_CLIENT_KEY": "\(certificates)/client.key",
        ]
    }

    /// Asks the gateway over HTTPS; the answer begins with its headers.
    private func curl(_ system: LiveSystem, _ certificates: String, _ arguments: [String]) async throws -> Ended {
        let address = "https://127.0.0.1:\(system.ports.gateway)/healthz"
        return try await Child(
            "/usr/bin/curl",
            ["-sSi", "--max-time", "20", "--cacert", "\(certificates)/ca.pem"] + arguments + [address],
            environment: ["PATH": "/usr/bin:/bin"], directory: certificates
        ).wait(seconds: 30)
    }

    private func withCertificates(_ body: (String) async throws -> Void) async throws {
        let directory = "/tmp/acp-e2e-tls-\(UInt32.random(in: 0...(.max)))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let made = try await Child(
            "/bin/sh", ["-ec", Self.script, "sh", directory], environment: ["PATH": "/usr/bin:/bin"],
            directory: directory
        ).wait(seconds: 30)
        try #require(made.status == 0, "\(made.errors)")
        try await body(directory)
    }

    private static let script = """
        cd "$1"
        for name in ca other-ca; do
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.pem \\
                -subj "/CN=$name" -days 30 -addext basicConstraints=critical,CA:TRUE
        done
        for name in server client; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' > $name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile $name.ext \\
                -out $name.pem
        done
        """
}
