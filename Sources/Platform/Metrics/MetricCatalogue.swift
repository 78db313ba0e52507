public import CoreMetrics

/// What a metric of ours is: name, kind, help and its labels with their order. Labels take values from closed sets only.
public struct MetricDefinition: Sendable {
    public enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    public let name: String
    public let kind: Kind
    public let help: String
    public let labels: [String]
    /// Upper bounds of a histogram's buckets, ascending, in the metric's unit.
    public let buckets: [Double]

    public init(_ name: String, _ kind: Kind, labels: [String], buckets: [Double] = [], help: String) {
        self.name = name
        self.kind = kind
        self.labels = labels
        self.buckets = kind == .histogram && buckets.isEmpty ? MetricCatalogue.durationBuckets : buckets
        self.help = help
    }

    private func dimensions(_ values: [String]) -> [(String, String)] {
        precondition(values.count == labels.count, "\(name) has the labels \(labels)")
        return Array(zip(labels, values))
    }

    /// The counter with these label values, in the order of `labels`.
    public func counter(_ values: String...) -> Counter { Counter(label: name, dimensions: dimensions(values)) }
    /// The gauge with these label values, in the order of `labels`.
    public func gauge(_ values: String...) -> Meter { Meter(label: name, dimensions: dimensions(values)) }
    /// The duration histogram with these label values, in the order of `labels`; it records nanoseconds and shows seconds.
    public func timer(_ values: String...) -> Timer { Timer(label: name, dimensions: dimensions(values)) }
}

/// The metrics that `/metrics` always lists.
///
/// Modules below this one use swift-metrics with these names and labels, e.g. `Counter(label: "acp_requests_total", dimensions: [("service", "ingest"), …])`:
///
/// | metric | type | swift-metrics | labels |
/// |---|---|---|---|
/// | acp_requests_total | counter | Counter | service, method, code |
/// | acp_request_duration_seconds | histogram | Timer | service, method |
/// | acp_request_queue_seconds | histogram | Timer | service, method |
/// | acp_errors_total | counter | Counter | service, method, code |
/// | acp_active_connections | gauge | Meter | service, protocol |
/// | acp_refused_connections_total | counter | Counter | service |
/// | acp_processing_time_seconds | histogram | Timer | stage |
/// | acp_queue_size | gauge | Meter | queue, state |
/// | acp_ingestion_total | counter | Counter | outcome, media_type |
/// | acp_vector_operations_total | counter | Counter | operation, outcome |
///
/// service: ingest, agents, gateway, worker · method: the route pattern (`/v1/documents/{id}`) or the RPC (`acp.v1.Search/Search`), never a path ·
/// code: `StatusCode.name` · protocol: acp, http · stage, state, outcome, operation: closed sets of the module that records them.
public enum MetricCatalogue {
    public static let requests = MetricDefinition(
        "acp_requests_total", .counter, labels: ["service", "method", "code"],
        help: "Requests answered, by method and outcome.")
    public static let requestDuration = MetricDefinition(
        "acp_request_duration_seconds", .histogram, labels: ["service", "method"],
        help: "Time from a request's arrival to its last byte of answer.")
    public static let requestQueue = MetricDefinition(
        "acp_request_queue_seconds", .histogram, labels: ["service", "method"],
        help: "Time that requests which had to wait for their turn waited for it.")
    public static let errors = MetricDefinition(
        "acp_errors_total", .counter, labels: ["service", "method", "code"],
        help: "Requests that failed, by method and code.")
    public static let activeConnections = MetricDefinition(
        "acp_active_connections", .gauge, labels: ["service", "protocol"],
        help: "Connections open now.")
    public static let refusedConnections = MetricDefinition(
        "acp_refused_connections_total", .counter, labels: ["service"],
        help: "Connections for which a port had no place.")
    public static let processingTime = MetricDefinition(
        "acp_processing_time_seconds", .histogram, labels: ["stage"], buckets: processingBuckets,
        help: "Time a document spent in one stage of ingestion.")
    public static let queueSize = MetricDefinition(
        "acp_queue_size", .gauge, labels: ["queue", "state"],
        help: "Jobs in the queue, by state.")
    public static let ingestion = MetricDefinition(
        "acp_ingestion_total", .counter, labels: ["outcome", "media_type"],
        help: "Documents ingested, by outcome and media type.")
    public static let vectorOperations = MetricDefinition(
        "acp_vector_operations_total", .counter, labels: ["operation", "outcome"],
        help: "Operations on the vector index.")
    /// Series that were refused because a metric had too many, or whose name was already taken by another type.
    static let overflow = MetricDefinition(
        "acp_metric_series_overflow_total", .counter, labels: ["metric"],
        help: "Series merged into one because their metric has too many label values.")

    public static let all: [MetricDefinition] = [
        requests, requestDuration, requestQueue, errors, activeConnections, refusedConnections, processingTime,
        queueSize, ingestion, vectorOperations,
        overflow,
    ]

    /// 0.5 ms to 10 s.
    public static let durationBuckets: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]
    /// 1 ms to 5 minutes.
    public static let processingBuckets: [Double] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300]
}
