/// What this build is; shown by `acp --version`, `/version`, HELLO and `acp_build_info`.
public enum BuildInformation {
    /// Semantic version of the release.
    public static let version = "0.1.0"
    /// The compiler family that built it.
    public static let swift: String = {
        #if compiler(>=6.4)
            "6.4+"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }()
    /// How clients name themselves to services.
    public static let userAgent = "acp/\(version)"
}
