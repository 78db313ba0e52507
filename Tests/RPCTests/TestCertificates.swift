import Foundation
import Synchronization

/// Authorities and certificates, made anew for every run of the tests by the command `openssl`. They are gone with the process.
struct TestCertificates: Sendable {
    static let isAvailable = (try? shared.get()) != nil
    static let skipped = "openssl is not installed; dev/setup installs it"

    static let shared = Result { try TestCertificates() }

    let directory: String

    /// `ca.pem`, `server.pem`, `server.key` and so on.
    func path(_ file: String) -> String { "\(directory)/\(file)" }

    /// A folder of its own, for a test that changes files.
    func makeDirectory() throws -> String {
        let path = "\(directory)/\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        return path
    }

    private init() throws {
        directory = FileManager.default.temporaryDirectory.path + "/acp-tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        let script = Process()
        script.executableURL = URL(fileURLWithPath: "/bin/sh")
        script.arguments = ["-e", "-c", Self.script, "sh", directory]
        script.standardOutput = FileHandle.nullDevice
        script.standardError = FileHandle.nullDevice
        try script.run()
        script.waitUntilExit()
        Self.made.withLock { $0.append(directory) }
        atexit {
            TestCertificates.made.withLock { for path in $0 { try? FileManager.default.removeItem(atPath: path) } }
        }
        guard script.terminationStatus == 0 else { throw CocoaError(.featureUnsupported) }
    }

    private static let made = Mutex<[String]>([])

    private static let script = """
        cd "$1"
        authority() {
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" \\
                -subj "/CN=$2" -days 30 -addext basicConstraints=critical,CA:TRUE
        }
        # NAME AUTHORITY SUBJECT DAYS ALTERNATIVE-NAMES
        certificate() {
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$3"
            printf 'subjectAltName=%s\\n' "$5" > "$1.ext"
            openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$4" -extfile "$1.ext" \\
                -out "$1.pem"
        }
        local_names=DNS:localhost,DNS:acp.test,IP:127.0.0.1,IP:::1
        authority ca 'Test Authority'
        authority other-ca 'Another Authority'
        certificate server ca /CN=server 30 "$local_names"
        certificate moved-server other-ca /CN=server 30 "$local_names"
        certificate elsewhere ca /CN=elsewhere 30 DNS:elsewhere.example,IP:203.0.113.7
        certificate expired ca /CN=expired -1 "$local_names"
        certificate client ca /CN=agents 30 DNS:agents.internal,URI:spiffe://acp/agents
        certificate stranger other-ca /CN=stranger 30 DNS:stranger.internal
        certificate expired-client ca /CN=old 1 DNS:old.internal
        openssl x509 -req -in expired-client.csr -CA ca.pem -CAkey ca.key -days -1 -extfile expired-client.ext -out expired-client.pem
        openssl pkcs8 -topk8 -in server.key -passout pass:secret -out locked.key
        printf 'nothing of use\\n' > junk.pem
        """
}

/// Runs `openssl s_client` against a port: TLS as another implementation speaks it.
enum OpenSSLClient {
    struct Answer {
        let text: String
        let diagnostics: String
        let status: Int32
    }

    /// Sends `input` once the handshake is done and returns all that came until the server closed.
    static func exchange(port: Int, _ arguments: [String], input: String) async throws -> Answer {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-quiet"] + arguments
        let (standardInput, output, diagnostics) = (Pipe(), Pipe(), Pipe())
        process.standardInput = standardInput
        process.standardOutput = output
        process.standardError = diagnostics
        async let text = read(output)
        async let complaints = read(diagnostics)
        let status: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do {
                try process.run()
                // The pipe stays open: at its end openssl would hang up before the answer is there.
                standardInput.fileHandleForWriting.write(Data(input.utf8))
            } catch { continuation.resume(throwing: error) }
        }
        try standardInput.fileHandleForWriting.close()
        return Answer(text: await text, diagnostics: await complaints, status: status)
    }

    private static func read(_ pipe: Pipe) async -> String {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                let data = pipe.fileHandleForReading.readDataToEndOfFile()
                continuation.resume(returning: String(decoding: data, as: UTF8.self))
            }
        }
    }
}
