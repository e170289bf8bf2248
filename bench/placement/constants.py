"""What every run shares. Set before any scheduler was tuned, and not after."""

from typing import Final

SEEDS: Final = (11, 23, 37, 53, 71)
"""Every comparison on 8 servers runs under all of them."""
FLEETS: Final = {8: SEEDS, 64: SEEDS[:2], 512: SEEDS[:1]}
"""Servers, and the seeds of that size: a fleet of 512 has 64 times the requests a run."""
MEASURE_SECONDS: Final = {8: 60.0, 64: 20.0, 512: 8.0}
"""Requests that arrive in so long after the warm-up are measured, and served to their end."""

PRESET: Final = "llama-3.1-8b-h100"
MODEL: Final = "bench-model"
REFERENCE_BATCH: Final = 32
"""Requests that share a decode step where a workload's load is stated as a share of capacity."""

TTFT_TARGET_SECONDS: Final = 0.5
TPOT_TARGET_SECONDS: Final = 0.03
"""A request is good if it meets both: what an interactive chat wants of a small model on a fast GPU."""

SCRAPE_INTERVAL_SECONDS: Final = 0.1
SCRAPE_COST_SECONDS: Final = 1e-4
"""Of the picker's core for one page; scraping stays under a tenth of a core, as in pilotage_extproc."""
SCRAPE_CORE_SHARE: Final = 0.1
SCRAPE_JITTER: Final = 0.1
SETTLE_DELAY_SECONDS: Final = 0.02
"""From a request's end to the picker's knowing: Envoy gathers access-log entries that long."""

SWEEPS: Final = {
    "shared-prefix": (0.1, 0.4, 0.8, 1.2, 1.6, 2.4, 3.2),
    "long-mixed": (0.1, 0.4, 0.7, 0.9, 1.1, 1.3),
    "adapters": (0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.3),
}
"""Loads by workload, on 8 servers: from an idle fleet to one that no placement can save."""
SWEEP_SEEDS: Final = SEEDS[:3]
SWEEP_MEASURE_SECONDS: Final = 30.0


def scrape_interval_seconds(servers: int) -> float:
    """The interval in force: stretched where all scraping would pass its share of a core."""
    return max(SCRAPE_INTERVAL_SECONDS, servers * SCRAPE_COST_SECONDS / SCRAPE_CORE_SHARE)
