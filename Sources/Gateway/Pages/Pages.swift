internal import NIOCore

/// What the gateway serves from its own program: the page with script and style, and the API's description.
enum Pages {
    static let all: [String: HTTPAnswer] = [
        "/": page("text/html; charset=utf-8", PackageResources.index_html, policy: SecurityHeaders.pagePolicy),
        "/assets/app.js": page("text/javascript; charset=utf-8", PackageResources.app_js),
        "/assets/app.css": page("text/css; charset=utf-8", PackageResources.app_css),
        "/openapi.json": page("application/json", PackageResources.openapi_json),
    ]

    private static func page(_ type: String, _ bytes: [UInt8], policy: String? = nil) -> HTTPAnswer {
        // Asked for anew every time: the page of one version must not run the script of another.
        var headers = [("Content-Type", type), ("Cache-Control", "no-cache")]
        if let policy { headers.append(("Content-Security-Policy", policy)) }
        return HTTPAnswer(status: 200, headers: headers, body: ByteBuffer(bytes: bytes))
    }
}
