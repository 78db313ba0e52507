internal import NIOHTTP1

/// The headers that every answer carries, errors included.
struct SecurityHeaders: Sendable {
    private let fixed: [(String, String)]

    /// For answers that are data: nothing of them may run or load anything.
    static let dataPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    /// For the page: its own script and style, calls to its own origin, nothing inline.
    static let pagePolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

    init(_ profile: HTTPGateway.HeaderProfile) {
        var headers = [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
            ("Referrer-Policy", "no-referrer"),
            ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Embedder-Policy", "require-corp"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ]
        if profile == .seed { headers.append(("X-XSS-Protection", "1; mode=block")) }
        fixed = headers
    }

    /// Adds them; policy and caching only where the answer has not its own.
    func add(to headers: inout HTTPHeaders) {
        for (name, value) in fixed { headers.add(name: name, value: value) }
        if !headers.contains(name: "Content-Security-Policy") {
            headers.add(name: "Content-Security-Policy", value: Self.dataPolicy)
        }
        if !headers.contains(name: "Cache-Control") { headers.add(name: "Cache-Control", value: "no-store") }
    }
}
