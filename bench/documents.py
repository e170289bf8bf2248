"""Writes the request path of docs/benchmarks.md from the results on disk: python -m bench.documents."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- request path: begin -->", "<!-- request path: end -->"


def median(runs: list[dict[str, Any]], name: str) -> float:
    """Of one figure over runs."""
    return float(statistics.median(run[name] for run in runs))


def read(name: str) -> Any:
    """A result, or None where it has not been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def table(headings: list[str], rows: list[list[str]], left: int = 1) -> str:
    """Markdown; the first columns to the left."""
    rule = ["---"] * left + ["---:"] * (len(headings) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, rule, *rows])


def comparisons(report: dict[str, Any]) -> str:
    """Throughput and CPU, each picker behind an Envoy of its own."""
    rows = []
    for result in report["results"]:
        ratio, aim = result["ratio"], result["aim"]
        for label, runs in result["runs"].items():
            last = label == result["subject"]
            told = f"**{ratio['median']:.2f}** ({ratio['min']:.2f}–{ratio['max']:.2f})" if last else ""
            rows.append(
                [
                    result["scenario"] if label == next(iter(result["runs"])) else "",
                    label,
                    f"{median(runs, 'requests_per_second'):,.0f}",
                    told,
                    f"{aim:g}" if last and aim else "",
                    *(f"{median(runs, name):.1f}" for name in ("p50_ms", "p99_ms")),
                    *(f"{median(runs, name):.2f}" for name in ("picker_cpu_ms", "envoy_cpu_ms")),
                ]
            )
    headings = ["body and fleet", "picker", "req/s", "of its base", "aim", "p50 ms", "p99 ms"]
    return table([*headings, "picker CPU ms", "Envoy CPU ms"], rows, left=2)


def decisions(results: list[dict[str, Any]]) -> str:
    """Microseconds by endpoints and body size."""
    sizes = sorted({one["body_bytes"] for one in results})
    counts = sorted({one["endpoints"] for one in results})
    took = {(one["endpoints"], one["body_bytes"]): one["microseconds"] for one in results}
    rows = [[f"{count:,}", *(f"{took[count, size]:,.0f}" for size in sizes)] for count in counts]
    return table(["endpoints", *(f"{size // 1000:,} KB" for size in sizes)], rows, left=0)


def scraping(results: list[dict[str, Any]]) -> str:
    """Cores by endpoints."""
    rows = [
        [
            f"{one['endpoints']:,}",
            f"{one['interval_seconds'] * 1000:.0f} ms",
            f"{one['endpoints'] / one['interval_seconds']:,.0f}",
            f"{one['scraping_cores']:.3f}",
        ]
        for one in results
    ]
    return table(["endpoints", "interval in force", "scrapes a second", "cores"], rows, left=0)


def memory(report: dict[str, Any]) -> str:
    """Resident memory over a long run."""
    samples = report["memory"]
    shown = [one for one in samples if one["minutes"] == int(one["minutes"])]
    headings = ["minutes", *(f"{one['minutes']:.0f}" for one in shown)]
    return table(headings, [["MiB", *(f"{one['rss_mib']:.0f}" for one in shown)]])


def open_exchanges(report: dict[str, Any]) -> str:
    """Bytes of an open exchange by the size of its prompt."""
    held = {int(size): bytes_ for size, bytes_ in report["bytes_by_prompt_bytes"].items()}
    headings = ["prompt", *(f"{size // 1000:,} KB" for size in sorted(held))]
    return table(headings, [["bytes an open request", *(f"{held[size]:,}" for size in sorted(held))]])


def section() -> str:
    """All that has been measured."""
    parts = []
    report = read("latest")
    if report is not None:
        parts += ["### Throughput", comparisons(report)]
    if (found := read("decisions")) is not None:
        parts += [
            "### A decision alone",
            "Microseconds, medians; `python -m bench.decisions`.",
            decisions(found),
        ]
    if (found := read("scraping")) is not None:
        parts += [
            "### Scraping alone",
            "CPU of an idle picker whose endpoints serve a real vLLM's 52 KB page, less that of one whose "
            "endpoints have no metrics; `python -m bench.scraping`.",
            scraping(found),
        ]
    if (found := read("memory")) is not None:
        parts += [
            "### Memory",
            "Of the picker under 220 KB bodies; `python -m bench --long 10`.",
            memory(found),
        ]
    if (found := read("open-exchanges")) is not None:
        parts += [
            "### Open requests",
            f"Python's memory from the pick to the outcome, with {found['open']:,} open requests and "
            f"{found['endpoints']} endpoints, without the bounded decision log; "
            "`python -m bench.open_exchanges`.",
            open_exchanges(found),
        ]
    return "\n\n".join(parts)


def main() -> None:
    """Renew the marked section."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE} has no section between {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{section()}\n{END}{after}")


if __name__ == "__main__":
    main()
