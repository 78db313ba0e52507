"""Runs the peers of `dev/bench rpc` in turn, prints their table and writes Benchmarks/out/rpc.json. Benchmarks/rpc.sh starts it.

A peer is a program with the modes `server` and `client PORT SERVER_PID SCENARIO IN_FLIGHT SECONDS`. Server and client are two
processes, new for every round; a client warms up, measures, and prints one line of JSON. CPU time is that of both processes.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

import thresholds

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {"ours": "ACP/1 (ours)", "c-floor": "C epoll + protobuf-c (floor)", "grpc-cpp": "gRPC C++", "grpc-swift": "grpc-swift-2"}
IN_FLIGHT = [1, 10, 100, 1000]
IDLE_CONNECTIONS = 10_000
STALLED_STREAM_BYTES = 8192 * 65_532
# A round that takes this much longer than asked for has gone wrong.
ROUND_SLACK_SECONDS = 60
# A round during which other processes used more than this many cores says nothing: it is repeated.
OTHERS_CORES_MAX = 0.1
ATTEMPTS_MAX = 3
# Memory does not depend on who else computes.
MEMORY_SCENARIOS = ("idle", "stall")


class Failed(Exception):
    pass


def busy_seconds():
    """CPU time that all processes together have used, stolen time included, and that our ended children have used."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, soft, steal = (int(word) for word in file.readline().split()[1:9])
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    all_seconds = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    return all_seconds, children.ru_utime + children.ru_stime


def quiet_round_of(program, scenario, *arguments):
    """A round that others did not disturb, or the last attempt; with the cores that they used meanwhile."""
    if scenario in MEMORY_SCENARIOS:
        return round_of(program, scenario, *arguments) | {"others_cores": 0}
    for _ in range(ATTEMPTS_MAX):
        start, (busy, ours) = time.monotonic(), busy_seconds()
        result = round_of(program, scenario, *arguments)
        busy_after, ours_after = busy_seconds()
        others = (busy_after - busy - (ours_after - ours)) / (time.monotonic() - start)
        result["others_cores"] = round(max(others, 0), 3)
        if others <= OTHERS_CORES_MAX:
            break
        print(f"other processes used {others:.2f} cores", file=sys.stderr)
    return result


def round_of(program, scenario, in_flight, seconds, core=None):
    """One round of one peer; returns what its client printed."""
    pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
    server = subprocess.Popen([program, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin)
    try:
        port = server.stdout.readline().decode().strip()
        if not port:
            raise Failed(f"{program} server did not print a port")
        command = [program, "client", port, str(server.pid), scenario, str(in_flight), str(seconds)]
        client = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=seconds + ROUND_SLACK_SECONDS, preexec_fn=pin, check=False)
        if client.returncode != 0:
            raise Failed(f"{' '.join(command)} ended with status {client.returncode}")
        return json.loads(client.stdout)
    except subprocess.TimeoutExpired as expired:
        raise Failed(f"{' '.join(expired.cmd)} did not end") from expired
    finally:
        # The server ends with its input.
        server.stdin.close()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def median(rounds, value):
    return statistics.median(value(r) for r in rounds)


class Bench:
    def __init__(self, peers, rounds, seconds):
        self.peers, self.rounds, self.seconds = peers, rounds, seconds
        self.core = max(os.sched_getaffinity(0))
        self.results = {}
        self.measured = self.disturbed = 0

    def interleaved(self, scenario, cases, core=None):
        """Rounds of every case in turn, so that what else the machine does hits all alike. `cases`: key to (peer, in flight)."""
        found = {key: [] for key in cases}
        for number in range(self.rounds):
            for key, (peer, in_flight) in cases.items():
                print(f"{scenario} {key}, round {number + 1} of {self.rounds}", file=sys.stderr)
                result = quiet_round_of(self.peers[peer], scenario, in_flight, self.seconds, core)
                self.measured += 1
                self.disturbed += result["others_cores"] > OTHERS_CORES_MAX
                found[key].append(result)
        return found

    def throughput(self, scenario, cases):
        found = self.interleaved(scenario, cases)
        sums = {r["checksum"] for rounds in found.values() for r in rounds}
        if len(sums) != 1:
            raise Failed(f"the peers do not answer {scenario} alike: {sums}")
        return {
            key: {
                "calls_per_second": round(median(rounds, lambda r: r["calls"] / r["seconds"])),
                "cpu_us_per_call": round(median(rounds, lambda r: r["cpu_seconds"] / r["calls"] * 1e6), 3),
                "rounds_calls_per_second": [round(r["calls"] / r["seconds"]) for r in rounds],
            }
            for key, rounds in found.items()
        }

    def everyone(self, in_flight):
        return {peer: (peer, in_flight) for peer in self.peers}

    def run(self):
        self.results["echo"] = self.throughput("echo", self.everyone(64))
        self.results["search"] = self.throughput("search", self.everyone(64))
        latency = self.interleaved("latency", self.everyone(1), self.core)
        self.results["latency"] = {
            peer: {"p50_us": round(median(r, lambda x: x["p50_us"]), 2), "p99_us": round(median(r, lambda x: x["p99_us"]), 2)}
            for peer, r in latency.items()
        }
        streaming = {peer: (peer, 1) for peer in self.peers if peer in ("ours", "grpc-cpp")}
        self.results["stream"] = {
            peer: {"gb_per_s": round(median(rounds, lambda r: r["bytes"] / r["seconds"] / 1e9), 3)}
            for peer, rounds in self.interleaved("stream", streaming).items()
        }
        if "ours" not in self.peers:
            return
        self.results["in_flight"] = self.throughput("echo", {str(n): ("ours", n) for n in IN_FLIGHT})
        memory = {"idle": ("ours", IDLE_CONNECTIONS), "stall": ("ours", 1)}
        for scenario, case in memory.items():
            rounds = self.interleaved(scenario, {"ours": case})["ours"]
            for r in rounds:
                done = r.get("connections", IDLE_CONNECTIONS), r.get("bytes", STALLED_STREAM_BYTES)
                if done != (IDLE_CONNECTIONS, STALLED_STREAM_BYTES):
                    raise Failed(f"{scenario} did not do all of its work: {r}")
            growth = max(r["rss_after"] - r["rss_before"] for r in rounds)
            self.results[scenario] = {"server_growth_mib": round(growth / 2**20, 2)}


def figures(results):
    """The figures of the issue, as far as the peers that ran allow."""
    found = {}

    def ratio(name, scenario, field, peer, base="ours"):
        of = results.get(scenario, {})
        if base in of and peer in of:
            found[name] = round(of[base][field] / of[peer][field], 3)

    for scenario in ("echo", "search"):
        ratio(f"{scenario}_rate_over_grpc_cpp", scenario, "calls_per_second", "grpc-cpp")
        ratio(f"{scenario}_rate_over_grpc_swift", scenario, "calls_per_second", "grpc-swift")
        ratio(f"{scenario}_cpu_over_grpc_cpp", scenario, "cpu_us_per_call", "grpc-cpp")
    ratio("latency_p50_over_grpc_cpp", "latency", "p50_us", "grpc-cpp")
    ratio("cpu_1000_over_1", "in_flight", "cpu_us_per_call", "1", base="1000")
    # One call alone pays for two wake-ups: among a hundred nothing hides a cost that grows with the calls in flight.
    ratio("cpu_1000_over_100", "in_flight", "cpu_us_per_call", "100", base="1000")
    if "ours" in results["echo"]:
        found["echo_rate"] = results["echo"]["ours"]["calls_per_second"]
    if "ours" in results["stream"]:
        found["stream_gb_per_s"] = results["stream"]["ours"]["gb_per_s"]
    for scenario in MEMORY_SCENARIOS:
        if scenario in results:
            found[f"{scenario}_mib"] = results[scenario]["server_growth_mib"]
    return found


def table(results, verdicts):
    """Markdown, to be pasted into Benchmarks/README.md."""
    lines = [
        "| 64 in flight, one connection | 64 B echo, calls/s | CPU µs | 4 KB reply, calls/s | CPU µs | one at a time, p50 µs | p99 µs | 64 KiB stream, GB/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for peer, echo in results["echo"].items():
        search, latency = results["search"][peer], results["latency"][peer]
        stream = results["stream"].get(peer)
        lines.append(
            f"| {NAMES[peer]} | {echo['calls_per_second']:,} | {echo['cpu_us_per_call']:.1f} | {search['calls_per_second']:,} "
            f"| {search['cpu_us_per_call']:.1f} | {latency['p50_us']:.1f} | {latency['p99_us']:.1f} "
            f"| {stream['gb_per_s'] if stream else '–'} |")
    if "in_flight" in results:
        lines += ["", "| ours, echo, calls in flight | " + " | ".join(f"{n:,}" for n in IN_FLIGHT) + " |"]
        lines += ["|---|" + "---|" * len(IN_FLIGHT)]
        for field, name, form in (("calls_per_second", "calls/s", ",.0f"), ("cpu_us_per_call", "CPU µs per call", ".1f")):
            values = (format(results["in_flight"][str(n)][field], form) for n in IN_FLIGHT)
            lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(lines + [""] + thresholds.table(verdicts))


def main():
    parser = argparse.ArgumentParser(prog="dev/bench rpc", description="Compares ACP/1 with other RPC stacks in one run.")
    for peer in NAMES:
        parser.add_argument(f"--{peer}", metavar="PROGRAM", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each scenario; the median counts (5)")
    parser.add_argument("--seconds", type=float, default=2, help="length of a round (2)")
    parser.add_argument("--peers", default=",".join(NAMES), help="those to run, by comma: " + " ".join(NAMES))
    parser.add_argument("--strict", action="store_true", help="exit 1 when a figure is missed")
    arguments = parser.parse_args()
    wanted = arguments.peers.split(",")
    unknown = [peer for peer in wanted if peer not in NAMES]
    if unknown or not 1 <= arguments.rounds <= 100 or not 0.1 <= arguments.seconds <= 60:
        parser.error(f"peers are {' '.join(NAMES)}; rounds 1 to 100; seconds 0.1 to 60")
    peers = {peer: getattr(arguments, peer.replace("-", "_")) for peer in NAMES if peer in wanted}

    bench = Bench(peers, arguments.rounds, arguments.seconds)
    bench.run()
    verdicts = thresholds.judge(figures(bench.results), thresholds.load("rpc"))
    report = {
        "benchmark": "rpc", "rounds": arguments.rounds, "seconds": arguments.seconds, "cpus": os.cpu_count(),
        "machine": platform.machine(), "kernel": platform.release(), "rounds_measured": bench.measured,
        "rounds_disturbed": bench.disturbed, "results": bench.results, "figures": verdicts,
    }
    os.makedirs(os.path.join(HERE, "out"), exist_ok=True)
    thresholds.write(report, os.path.join(HERE, "out", "rpc.json"))
    print(table(bench.results, verdicts))
    if bench.disturbed:
        print(f"\n{bench.disturbed} of {bench.measured} rounds were disturbed by other processes: run it again on an idle machine.")
    if arguments.strict and not thresholds.all_passed(verdicts):
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        print(f"dev/bench rpc: {failure}", file=sys.stderr)
        sys.exit(1)
