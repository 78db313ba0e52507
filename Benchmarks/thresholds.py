"""What the benchmarks must reach: thresholds/NAME.json against the figures of a run.

`python3 thresholds.py NAME REPORT [--strict]` judges the figures of a report (JSON, as a benchmark wrote it), adds the verdicts to it
as `figures`, and prints them as a table for Benchmarks/README.md. With --strict it exits 1 when a figure is missed.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def load(benchmark):
    with open(os.path.join(HERE, "thresholds", f"{benchmark}.json"), encoding="utf-8") as file:
        return json.load(file)


def judge(found, thresholds):
    """What was reached: name to value, wanted and whether it passed."""
    verdicts = {}
    for name, threshold in thresholds.items():
        if name not in found:
            continue
        value = found[name]
        low, high = threshold.get("at_least"), threshold.get("at_most")
        passed = (low is None or value >= low) and (high is None or value <= high)
        wanted = f"≥ {low:,}" if low is not None else f"≤ {high:,}"
        verdicts[name] = {"what": threshold["what"], "value": value, "wanted": wanted, "passed": passed}
    return verdicts


def shown(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(verdicts):
    """Lines of Markdown."""
    lines = ["| figure | measured | wanted | |", "|---|---|---|---|"]
    for verdict in verdicts.values():
        mark = "✓" if verdict["passed"] else "missed"
        lines.append(f"| {verdict['what']} | {shown(verdict['value'])} | {verdict['wanted']} | {mark} |")
    return lines


def write(report, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2, ensure_ascii=False)
        file.write("\n")


def all_passed(verdicts):
    return all(verdict["passed"] for verdict in verdicts.values())


def main(arguments):
    strict = "--strict" in arguments
    benchmark, path = [argument for argument in arguments if argument != "--strict"]
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    thresholds = load(benchmark)
    missing = [name for name in thresholds if name not in report]
    if missing:
        sys.exit(f"{path} lacks {', '.join(missing)}: the run was cut short")
    report["figures"] = judge(report, thresholds)
    write(report, path)
    print("\n".join(table(report["figures"])))
    if strict and not all_passed(report["figures"]):
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
