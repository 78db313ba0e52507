public import CoreMetrics
internal import Synchronization

/// The swift-metrics backend: keeps every series of this process and renders them for a scrape.
///
/// Making a handle takes a lock; recording through one does not.
public final class MetricsRegistry: MetricsFactory {
    /// Series of one metric; label values beyond them are counted in one series whose labels all read `overflow`.
    public static let seriesMax = 500
    /// Metrics that are not in the catalogue; handles for more are given out but not shown.
    public static let uncataloguedMetricsMax = 500

    /// The registry that `bootstrap` installed or will install.
    public static let shared = MetricsRegistry()

    private let families: Mutex<Families>
    private let overflow = CounterFamily()

    private struct Family {
        let definition: MetricDefinition
        /// In the catalogue: its labels are fixed.
        let isCatalogued: Bool
        var series: [String: any MetricSeries] = [:]
    }

    private struct Families {
        var byName: [String: Family] = [:]
        /// In order of appearance; the catalogue first.
        var names: [String] = []
    }

    /// Counts refused series by metric, outside the lock of the families.
    private final class CounterFamily: Sendable {
        let counts = Mutex<[String: CounterSeries]>([:])

        func increment(_ metric: String) {
            counts.withLock { counts in
                let series = counts[metric] ?? CounterSeries()
                counts[metric] = series
                series.increment(by: Int64(1))
            }
        }
    }

    /// A registry that lists the catalogue and nothing else yet.
    public init() {
        var families = Families()
        for definition in MetricCatalogue.all {
            families.byName[definition.name] = Family(definition: definition, isCatalogued: true)
            families.names.append(definition.name)
        }
        self.families = Mutex(families)
    }

    /// Makes this process record into `shared`. Call once, before any metric is made.
    public static func bootstrap() { MetricsSystem.bootstrap(shared) }

    /// The page for one scrape: the catalogue, everything else that was recorded, and the process itself.
    public func render(_ format: MetricsFormat = .text) -> String {
        var page = MetricsPage(format: format)
        let (names, byName) = families.withLock { ($0.names, $0.byName) }
        for name in names {
            guard let family = byName[name] else { continue }
            page.family(name, family.definition.kind, help: family.definition.help)
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                series.render(name: name, labels: labels, to: &page)
            }
            if name == MetricCatalogue.overflow.name {
                for (metric, series) in overflow.counts.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
                    series.render(name: name, labels: MetricsPage.labels([("metric", metric)]), to: &page)
                }
            }
        }
        ProcessMetrics.render(to: &page)
        page.end()
        return page.text
    }

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, .counter, dimensions) { _ in CounterSeries() }
    }

    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(label, .counter, dimensions) { _ in CounterSeries() }
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, .gauge, dimensions) { _ in GaugeSeries() }
    }

    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        if aggregate { return series(label, .histogram, dimensions) { HistogramSeries(bounds: $0) } }
        return series(label, .gauge, dimensions) { _ in GaugeSeries() }
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, .histogram, dimensions) { HistogramSeries(bounds: $0) }
    }

    // A series lives as long as the process: a counter that vanished and came back would look like a restart.
    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    public func destroyMeter(_ handler: any MeterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}

    /// The series of a metric with these labels, made on first use. Never fails: what cannot be kept goes to the overflow series,
    /// or, when the name belongs to a metric of another kind, nowhere.
    private func series<Series: MetricSeries>(
        _ label: String, _ kind: MetricDefinition.Kind, _ dimensions: [(String, String)],
        make: ([Double]) -> Series
    ) -> Series {
        let name = MetricsPage.legalName(label)
        let (found, isOverflow): (Series, Bool) = families.withLock { families in
            if families.byName[name] == nil {
                guard families.names.count < MetricCatalogue.all.count + Self.uncataloguedMetricsMax else {
                    return (make(MetricCatalogue.durationBuckets), true)
                }
                families.byName[name] = Family(
                    definition: MetricDefinition(name, kind, labels: [], help: "Recorded as \(label)."),
                    isCatalogued: false)
                families.names.append(name)
            }
            guard var family = families.byName.removeValue(forKey: name) else {
                preconditionFailure("the family was there or has just been made")
            }
            defer { families.byName[name] = family }
            let buckets = family.definition.buckets
            guard family.definition.kind == kind else { return (make(MetricCatalogue.durationBuckets), true) }
            var key = Self.key(of: dimensions, in: family)
            var isOverflow = false
            if family.series[key] == nil, family.series.count >= Self.seriesMax {
                key = Self.key(
                    of: (family.isCatalogued ? family.definition.labels : dimensions.map(\.0)).map { ($0, "overflow") },
                    in: family)
                isOverflow = true
            }
            if let known = family.series[key] {
                // The same name may be asked for as two handlers of one kind, e.g. Timer and Recorder: both are histograms.
                guard let known = known as? Series else { return (make(buckets), true) }
                return (known, isOverflow)
            }
            let series = make(buckets)
            family.series[key] = series
            return (series, isOverflow)
        }
        if isOverflow { overflow.increment(name) }
        return found
    }

    /// The labels as they are rendered: in catalogue order with absent ones empty and unknown ones left out, or sorted.
    private static func key(of dimensions: [(String, String)], in family: Family) -> String {
        guard family.isCatalogued else { return MetricsPage.labels(dimensions.sorted { $0.0 < $1.0 }) }
        return MetricsPage.labels(
            family.definition.labels.map { label in (label, dimensions.first { $0.0 == label }?.1 ?? "") })
    }
}
