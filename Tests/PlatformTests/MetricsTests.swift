import CoreMetrics
import Metrics
import Platform
import Testing

@Suite struct MetricsTests {
    private func lines(_ registry: MetricsRegistry, _ format: MetricsFormat = .text) -> [String] {
        registry.render(format).split(separator: "\n").map(String.init)
    }

    @Test func everyMetricIsListedBeforeAnythingHappens() {
        let page = lines(MetricsRegistry())
        let expected = [
            "acp_requests_total counter", "acp_request_duration_seconds histogram", "acp_errors_total counter",
            "acp_active_connections gauge", "acp_processing_time_seconds histogram", "acp_queue_size gauge",
            "acp_request_queue_seconds histogram", "acp_refused_connections_total counter",
            "acp_ingestion_total counter", "acp_vector_operations_total counter",
        ]
        for metric in expected {
            #expect(page.contains("# TYPE \(metric)"))
            #expect(page.contains { $0.hasPrefix("# HELP \(metric.prefix { $0 != " " }) ") })
        }
        for name in [
            "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds",
            "process_start_time_seconds", "acp_build_info{version=\"\(BuildInformation.version)\"",
        ] {
            #expect(page.contains { $0.hasPrefix(name) && !$0.hasSuffix(" 0") }, "\(name)")
        }
    }

    @Test func countersCountBySeries() {
        let registry = MetricsRegistry()
        let dimensions = [("code", "OK"), ("service", "ingest"), ("method", "/v1/documents")]
        registry.makeCounter(label: "acp_requests_total", dimensions: dimensions).increment(by: 2)
        registry.makeCounter(label: "acp_requests_total", dimensions: dimensions).increment(by: 3)
        registry.makeCounter(label: "acp_requests_total", dimensions: dimensions).increment(by: -9)
        // Labels in catalogue order, whatever order they came in.
        #expect(lines(registry).contains(#"acp_requests_total{service="ingest",method="/v1/documents",code="OK"} 5"#))
    }

    @Test func missingLabelsAreEmptyAndUnknownOnesLeftOut() {
        let registry = MetricsRegistry()
        registry.makeMeter(label: "acp_queue_size", dimensions: [("path", "/secret")]).set(Int64(4))
        #expect(lines(registry).contains(#"acp_queue_size{queue="",state=""} 4"#))
    }

    @Test func histogramsAreCumulativeAndSumUp() {
        let registry = MetricsRegistry()
        let timer = registry.makeTimer(
            label: "acp_request_duration_seconds", dimensions: [("service", "s"), ("method", "m")])
        for nanoseconds in [400_000, 1_000_000, 1_000_001, 20_000_000_000] as [Int64] {
            timer.recordNanoseconds(nanoseconds)
        }
        let page = lines(registry)
        let labels = #"service="s",method="m""#
        #expect(page.contains("acp_request_duration_seconds_bucket{\(labels),le=\"0.0005\"} 1"))
        #expect(page.contains("acp_request_duration_seconds_bucket{\(labels),le=\"0.001\"} 2"))
        #expect(page.contains("acp_request_duration_seconds_bucket{\(labels),le=\"0.0025\"} 3"))
        #expect(page.contains("acp_request_duration_seconds_bucket{\(labels),le=\"10\"} 3"))
        #expect(page.contains("acp_request_duration_seconds_bucket{\(labels),le=\"+Inf\"} 4"))
        #expect(page.contains("acp_request_duration_seconds_count{\(labels)} 4"))
        #expect(page.contains { $0.hasPrefix("acp_request_duration_seconds_sum{\(labels)} 20.0024") })
    }

    @Test func gaugesGoUpAndDown() {
        let registry = MetricsRegistry()
        let meter = registry.makeMeter(
            label: "acp_active_connections", dimensions: [("service", "gateway"), ("protocol", "http")])
        meter.increment(by: 3)
        meter.decrement(by: 1)
        #expect(lines(registry).contains(#"acp_active_connections{service="gateway",protocol="http"} 2"#))
    }

    @Test func tooManySeriesBecomeOneAndAreCounted() {
        let registry = MetricsRegistry()
        for index in 0..<(MetricsRegistry.seriesMax + 7) {
            registry.makeCounter(
                label: "acp_ingestion_total", dimensions: [("outcome", "o\(index)"), ("media_type", "")]
            )
            .increment(by: 1)
        }
        let page = lines(registry)
        #expect(page.count { $0.hasPrefix("acp_ingestion_total{") } == MetricsRegistry.seriesMax + 1)
        #expect(page.contains(#"acp_ingestion_total{outcome="overflow",media_type="overflow"} 7"#))
        #expect(page.contains(#"acp_metric_series_overflow_total{metric="acp_ingestion_total"} 7"#))
    }

    @Test func aNameOfAnotherKindIsNotMixedIn() {
        let registry = MetricsRegistry()
        registry.makeTimer(label: "acp_requests_total", dimensions: []).recordNanoseconds(1)
        let page = lines(registry)
        #expect(!page.contains { $0.hasPrefix("acp_requests_total_bucket") })
        #expect(page.contains(#"acp_metric_series_overflow_total{metric="acp_requests_total"} 1"#))
    }

    @Test func otherMetricsAreShownUnderLegalNames() {
        let registry = MetricsRegistry()
        registry.makeRecorder(label: "nio.loop-lag", dimensions: [("b", "2"), ("a-b", "x\"y\\z\nw")], aggregate: false)
            .record(0.25)
        registry.makeFloatingPointCounter(label: "9lives", dimensions: []).increment(by: 0.5)
        let page = lines(registry)
        #expect(page.contains(#"nio_loop_lag{a_b="x\"y\\z\nw",b="2"} 0.25"#))
        #expect(page.contains("_9lives 0.5"))
    }

    @Test func concurrentIncrementsAreExact() async {
        let registry = MetricsRegistry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let counter = registry.makeCounter(label: "c", dimensions: [])
                    let meter = registry.makeMeter(label: "g", dimensions: [])
                    let timer = registry.makeTimer(label: "t", dimensions: [])
                    for _ in 0..<10_000 {
                        counter.increment(by: 1)
                        meter.increment(by: 1)
                        timer.recordNanoseconds(1_000_000_000)
                    }
                }
            }
        }
        let page = lines(registry)
        #expect(page.contains("c 80000") && page.contains("g 80000"))
        #expect(page.contains("t_count 80000") && page.contains("t_sum 80000"))
    }

    @Test func openMetricsNamesCountersWithoutSuffixAndEnds() {
        let page = lines(MetricsRegistry(), .openMetrics)
        #expect(page.contains("# TYPE acp_requests counter"))
        #expect(page.last == "# EOF")
        #expect(MetricsFormat(accept: "application/openmetrics-text; version=1.0.0,*/*;q=0.1") == .openMetrics)
        #expect(MetricsFormat(accept: "text/plain") == .text)
    }

    @Test func cataloguedHandlesReachTheRegistry() {
        let registry = MetricsRegistry()
        withMetricsFactory(registry) {
            MetricCatalogue.vectorOperations.counter("search", "ok").increment()
        }
        #expect(lines(registry).contains(#"acp_vector_operations_total{operation="search",outcome="ok"} 1"#))
    }
}
