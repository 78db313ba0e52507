internal import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// What the kernel says about this process, under the names that Prometheus' own clients use.
enum ProcessMetrics {
    static func render(to page: inout MetricsPage) {
        if let status = status() {
            page.family("process_cpu_seconds_total", .counter, help: "User and system CPU time in seconds.")
            page.sample("process_cpu_seconds_total", "", status.cpuSeconds.prometheus)
            page.family("process_resident_memory_bytes", .gauge, help: "Resident memory in bytes.")
            page.sample("process_resident_memory_bytes", "", String(status.residentBytes))
            if let start = startTime(ticks: status.startTicks) {
                page.family("process_start_time_seconds", .gauge, help: "Start of the process, in seconds since 1970.")
                page.sample("process_start_time_seconds", "", start.prometheus)
            }
        }
        if let count = openDescriptors() {
            page.family("process_open_fds", .gauge, help: "Open file descriptors.")
            page.sample("process_open_fds", "", String(count))
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            page.family("process_max_fds", .gauge, help: "Most file descriptors that may be open.")
            page.sample("process_max_fds", "", String(limit.rlim_cur))
        }
        page.family("acp_build_info", .gauge, help: "The build of this process.")
        page.sample(
            "acp_build_info",
            MetricsPage.labels([("version", BuildInformation.version), ("swift", BuildInformation.swift)]), "1")
    }

    private struct Status {
        var cpuSeconds: Double
        var residentBytes: Int
        var startTicks: Double
    }

    /// Fields of /proc/self/stat, counted behind the command name, which may contain spaces and parentheses (proc(5)).
    private static func status() -> Status? {
        guard let text = try? PlatformFile.readText("/proc/self/stat", bytesMax: 65_536),
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
            let start = Double(fields[19]), let pages = Int(fields[21])
        else { return nil }
        return Status(
            cpuSeconds: (user + system) / ticksPerSecond, residentBytes: pages * sysconf(Int32(_SC_PAGESIZE)),
            startTicks: start)
    }

    private static var ticksPerSecond: Double { Double(max(1, sysconf(Int32(_SC_CLK_TCK)))) }

    private static func startTime(ticks: Double) -> Double? {
        guard let text = try? PlatformFile.readText("/proc/stat", bytesMax: 1 << 22),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("btime ") }),
            let boot = Double(line.dropFirst(6))
        else { return nil }
        return boot + ticks / ticksPerSecond
    }

    private static func openDescriptors() -> Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        // The directory itself is open while it is counted.
        return count - 1
    }
}
