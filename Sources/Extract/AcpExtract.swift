internal import Glibc

/// `acp-extract --profile text|pdf`: reads untrusted documents for the ingest worker, each in a sandboxed process of its own.
///
/// Started by the worker, which speaks the protocol of `extract.proto` with it on descriptor 3. Not a tool for people.
@main
enum AcpExtract {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count == 2, arguments.first == "--profile", let name = arguments.last,
            let profile = Profile(rawValue: name)
        else {
            complain("usage: acp-extract --profile text|pdf")
            exit(64)
        }
        var status = stat()
        guard fstat(ForkServer.socket, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
            complain(
                "acp-extract is started by the ingest worker, with a socket as descriptor 3; there is nothing to run by hand"
            )
            exit(64)
        }
        do throws(ParseFailure) {
            var server = try ForkServer(profile: profile)
            exit(server.run())
        } catch {
            complain("acp-extract cannot start: \(error.message)")
            exit(70)
        }
    }

    /// Writes one line to standard error.
    static func complain(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(2, bytes, bytes.count)
    }
}
