/// The text formats that scrapers read.
public enum MetricsFormat: Sendable, Hashable {
    /// Prometheus text 0.0.4.
    case text
    /// OpenMetrics 1.0.0.
    case openMetrics

    /// OpenMetrics when the `Accept` header names it, otherwise Prometheus text.
    public init(accept: String) {
        self = accept.lowercased().contains("application/openmetrics-text") ? .openMetrics : .text
    }

    /// The `Content-Type` of the page.
    public var contentType: String {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }
}

/// Builds the page of one scrape.
struct MetricsPage {
    let format: MetricsFormat
    private(set) var text = ""

    init(format: MetricsFormat) { self.format = format }

    /// The lines that open a metric's samples.
    mutating func family(_ name: String, _ kind: MetricDefinition.Kind, help: String) {
        var base = name
        var type = kind.rawValue
        if format == .openMetrics && kind == .counter {
            // OpenMetrics names a counter without the suffix of its samples, and knows no counter that has none.
            if name.hasSuffix("_total") { base = String(name.dropLast(6)) } else { type = "unknown" }
        }
        text += "# HELP \(base) \(Self.escaped(help, quotes: false))\n# TYPE \(base) \(type)\n"
    }

    mutating func sample(_ name: String, _ labels: String, _ value: String) {
        text += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
    }

    mutating func end() {
        if format == .openMetrics { text += "# EOF\n" }
    }

    /// `name="value",…` with names made legal and values escaped.
    static func labels(_ pairs: [(String, String)]) -> String {
        pairs.map { "\(legalName($0.0, colons: false))=\"\(escaped($0.1, quotes: true))\"" }.joined(separator: ",")
    }

    /// A metric or label name in which everything illegal became `_`.
    static func legalName(_ name: String, colons: Bool = true) -> String {
        var bytes = name.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                byte
            case UInt8(ascii: ":") where colons: byte
            default: UInt8(ascii: "_")
            }
        }
        if bytes.isEmpty || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[0]) {
            bytes.insert(UInt8(ascii: "_"), at: 0)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            case "\"" where quotes: escaped += "\\\""
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

extension Double {
    /// As Prometheus writes numbers: whole ones without a fraction, infinities by name.
    var prometheus: String {
        if isNaN { return "NaN" }
        if isInfinite { return self > 0 ? "+Inf" : "-Inf" }
        if let whole = Int64(exactly: self), whole.magnitude < 1 << 53 { return String(whole) }
        return description
    }
}
