internal import Core
internal import Metrics

/// The worker's metrics. Labels come from closed sets: outcomes `published`, `partial`, `superseded`, `retried`, `failed`, `dead`; media types that are
/// read; stages `extracting`, `chunking`, `publishing`, `indexing`.
enum IngestMetrics {
    static func ended(_ outcome: String, _ mediaType: MediaType?) {
        Counter(
            label: "acp_ingestion_total",
            dimensions: [("outcome", outcome), ("media_type", mediaType?.rawValue ?? "unknown")]
        ).increment()
    }

    static func stage(_ stage: String, _ start: MonotonicTime, _ end: MonotonicTime) {
        Timer(label: "acp_processing_time_seconds", dimensions: [("stage", stage)])
            .recordNanoseconds(start.duration(to: end).wholeNanoseconds)
    }
}
