internal import CoreMetrics
internal import Synchronization

/// A series of one metric: what it measures with one set of label values.
protocol MetricSeries: AnyObject, Sendable {
    /// Appends this series' sample lines.
    func render(name: String, labels: String, to page: inout MetricsPage)
}

/// A monotonic counter; integers and fractions.
final class CounterSeries: MetricSeries, CounterHandler, FloatingPointCounterHandler {
    private let value = Atomic<Int64>(0)
    /// Bit pattern of the fractional part of what was added, kept apart so that whole increments stay exact and lock-free.
    private let fraction = Atomic<UInt64>(0)

    func increment(by amount: Int64) {
        guard amount > 0 else { return }
        value.wrappingAdd(amount, ordering: .relaxed)
    }

    func increment(by amount: Double) {
        guard amount > 0, amount.isFinite else { return }
        fraction.update { $0 + amount }
    }

    func reset() {
        value.store(0, ordering: .relaxed)
        fraction.store(0, ordering: .relaxed)
    }

    func render(name: String, labels: String, to page: inout MetricsPage) {
        let whole = value.load(ordering: .relaxed)
        let part = Double(bitPattern: fraction.load(ordering: .relaxed))
        page.sample(name, labels, part == 0 ? String(whole) : (Double(whole) + part).prometheus)
    }
}

/// A value that goes up and down.
final class GaugeSeries: MetricSeries, MeterHandler, RecorderHandler {
    private let bits = Atomic<UInt64>(0)

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    func increment(by amount: Double) { bits.update { $0 + amount } }
    func decrement(by amount: Double) { bits.update { $0 - amount } }
    func record(_ value: Int64) { set(value) }
    func record(_ value: Double) { set(value) }

    func render(name: String, labels: String, to page: inout MetricsPage) {
        page.sample(name, labels, Double(bitPattern: bits.load(ordering: .relaxed)).prometheus)
    }
}

/// Counts of values at or below fixed bounds.
final class HistogramSeries: MetricSeries, TimerHandler, RecorderHandler {
    private let bounds: [Double]
    /// One count per bound and one for what is above the last, not cumulative: one atomic addition per value.
    private nonisolated(unsafe) let counts: UnsafeMutablePointer<Atomic<Int64>>
    private let sum = Atomic<UInt64>(0)

    init(bounds: [Double]) {
        self.bounds = bounds
        counts = .allocate(capacity: bounds.count + 1)
        for index in 0...bounds.count { (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        counts.deinitialize(count: bounds.count + 1)
        counts.deallocate()
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        guard value.isFinite else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        counts[bucket].wrappingAdd(1, ordering: .relaxed)
        sum.update { $0 + value }
    }

    func render(name: String, labels: String, to page: inout MetricsPage) {
        var total: Int64 = 0
        for (index, bound) in bounds.enumerated() {
            total += counts[index].load(ordering: .relaxed)
            page.sample(name + "_bucket", Self.adding("le=\"\(bound.prometheus)\"", to: labels), String(total))
        }
        total += counts[bounds.count].load(ordering: .relaxed)
        page.sample(name + "_bucket", Self.adding("le=\"+Inf\"", to: labels), String(total))
        page.sample(name + "_sum", labels, Double(bitPattern: sum.load(ordering: .relaxed)).prometheus)
        page.sample(name + "_count", labels, String(total))
    }

    private static func adding(_ label: String, to labels: String) -> String {
        labels.isEmpty ? label : labels + "," + label
    }
}

extension Atomic where Value == UInt64 {
    /// Changes the Double whose bit pattern is stored.
    fileprivate borrowing func update(_ change: (Double) -> Double) {
        var old = load(ordering: .relaxed)
        while true {
            let new = change(Double(bitPattern: old)).bitPattern
            let (exchanged, original) = weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }
}
