internal import NIOCore

/// What the gateway serves from its own program: the page with script and style, and the API's description.
enum Pages {
    static let all: [String: HTTPAnswer] = [
        "/": page("text/html; charset=utf-8", PackageResources.index_html, policy: SecurityHeaders.pagePolicy),
        "/assets/app.js": page("text/javascript; charset=utf-8", PackageResources.app_js),
        "/assets/app.css": page("text/css; charset=utf-8", PackageResources.app_css),
        "/assets/icon.svg": page("image/svg+xml", Array(icon.utf8)),
        "/openapi.json": page("application/json", PackageResources.openapi_json),
    ]

    /// A sheet with one marked line: browsers ask for an icon whether there is one or not.
    private static let icon = """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
        <rect x="2" y="1" width="12" height="14" rx="2" fill="#0b5cad"/>
        <path d="M5 5h6M5 11h6" stroke="#fff"/><path d="M5 8h6" stroke="#ffe58a" stroke-width="2"/>
        </svg>

        """

    private static func page(_ type: String, _ bytes: [UInt8], policy: String? = nil) -> HTTPAnswer {
        // Asked for anew every time: the page of one version must not run the script of another.
        var headers = [("Content-Type", type), ("Cache-Control", "no-cache")]
        if let policy { headers.append(("Content-Security-Policy", policy)) }
        return HTTPAnswer(status: 200, headers: headers, body: ByteBuffer(bytes: bytes))
    }
}
