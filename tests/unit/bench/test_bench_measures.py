"""The figures of a run, on cases small enough to count by hand."""

import pytest
from bench.placement.aims import check
from bench.placement.documents import BEGIN, END, replaced
from bench.placement.measures import measures_of, quantile, spread
from bench.placement.results import pick, read, write
from bench.placement.tables import HEADINGS, cells, markdown

from pilotage_sim.virtual import Served


def served(at: float, first: float, end: float, tokens: int, server: int = 0, cached: int = 0) -> Served:
    return Served(at, server, 100, cached, first, end, tokens)


def test_quantiles_are_by_nearest_rank():
    ten = [float(one) for one in range(1, 11)]
    assert [quantile(ten, share) for share in (0.5, 0.9, 0.95, 0.99, 1.0)] == [5, 9, 10, 10, 10]
    assert quantile([7.0], 0.5) == 7
    assert quantile([], 0.5) == 0


def test_times_hit_rate_goodput_and_imbalance():
    runs = [
        served(0.0, 0.1, 0.3, 11, server=0, cached=50),  # TTFT 100 ms, TPOT 20 ms: good
        served(1.0, 1.6, 1.8, 11, server=0, cached=0),  # TTFT 600 ms: too late
        served(2.0, 2.1, 2.6, 11, server=1, cached=100),  # TPOT 50 ms: too slow
        served(3.0, 3.2, 3.2, 1, server=1, cached=0),  # one token: only TTFT counts
    ]
    found = measures_of(runs, servers=2, seconds=4.0)
    assert found.requests == 4
    assert found.ttft_mean_ms == pytest.approx(250)
    assert found.ttft_p50_ms == pytest.approx(100)
    assert found.ttft_p90_ms == pytest.approx(600)
    assert found.tpot_mean_ms == pytest.approx(30)
    assert found.tpot_p99_ms == pytest.approx(50)
    assert found.good_share == 0.5
    assert found.goodput_per_second == 0.5
    assert found.hit_rate == pytest.approx(150 / 400)
    # request-seconds: 0.3 + 0.8 at the first, 0.6 + 0.2 at the second
    assert found.imbalance == pytest.approx(1.1 / 0.95)


def test_an_idle_server_counts_in_the_imbalance():
    assert measures_of([served(0.0, 0.1, 1.0, 2)], servers=4, seconds=1.0).imbalance == 4


def test_spread_is_from_the_least_to_the_most_seed():
    value = spread([{"x": 3.0}, {"x": 1.0}, {"x": 2.0}], "x")
    assert (value.mean, value.least, value.most, value.width) == (2, 1, 3, 2)


def row(workload: str, balancer: str, seed: int, **figures: float) -> dict[str, object]:
    base = measures_of([served(0.0, 0.1, 0.3, 11, cached=50)], 1, 1.0).as_dict()
    return {"workload": workload, "balancer": balancer, "seed": seed, **base, **figures}


def aims_of(ours: float, first: float, hit: float, p95: float) -> dict[str, bool]:
    rows = []
    for seed in (1, 2):
        for workload in ("shared-prefix", "bursts"):
            rows += [
                row(workload, "round-robin", seed, ttft_mean_ms=first, ttft_p95_ms=400.0, hit_rate=0.3),
                row(workload, "least-request", seed, ttft_mean_ms=90.0 + 10 * seed),
                row(workload, "pilotage", seed, ttft_mean_ms=ours, ttft_p95_ms=p95, hit_rate=hit),
            ]
    return {aim.text.partition(":")[2].strip() or aim.text: aim.reached for aim in check(rows)}


def test_aims_are_reached_at_their_bounds_and_missed_below():
    assert list(aims_of(65.0, 100.0, 0.6, 200.0).values()) == [True, True, True, True]
    assert list(aims_of(66.0, 100.0, 0.59, 201.0).values()) == [False, False, False, True]


def test_worse_than_least_request_is_told_only_past_its_spread():
    within = aims_of(115.0, 200.0, 0.6, 100.0)  # least request: 100 and 110
    past = aims_of(116.0, 200.0, 0.6, 100.0)
    assert list(within.values())[-1]
    assert not list(past.values())[-1]


def test_results_survive_the_disk_and_fill_the_tables(tmp_path):
    rows = [row("bursts", "pilotage", seed, ttft_mean_ms=10.0 * seed) for seed in (1, 2)]
    write("8", rows, tmp_path)
    assert pick(read("8", tmp_path), seed=2)[0]["ttft_mean_ms"] == 20
    assert read("64", tmp_path) == []
    [line] = cells(read("8", tmp_path))
    assert line[:3] == ["bursts", "pilotage", "15 (10–20)"]
    assert len(line) == len(HEADINGS)
    assert markdown(("a", "b"), [["1", "2"]], left=1) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"


def test_runs_that_were_not_chosen_are_kept_on_request(tmp_path):
    write("8", [row("bursts", "pilotage", seed, load=0.8, ttft_mean_ms=1.0) for seed in (1, 2)], tmp_path)
    again = [row("bursts", "pilotage", seed, load=0.8, ttft_mean_ms=5.0) for seed in (3, 2)]
    write("8", again, tmp_path, keep=True)
    assert [(one["seed"], one["ttft_mean_ms"]) for one in read("8", tmp_path)] == [(1, 1), (2, 5), (3, 5)]
    write("8", again, tmp_path)
    assert [one["seed"] for one in read("8", tmp_path)] == [3, 2]


def test_only_the_marked_section_of_a_document_is_renewed():
    text = "# Benchmarks\n\nbefore\n"
    once = replaced(text, "one")
    assert once == f"# Benchmarks\n\nbefore\n\n{BEGIN}\none\n{END}\n"
    assert replaced(once + "after\n", "two") == f"# Benchmarks\n\nbefore\n\n{BEGIN}\ntwo\n{END}\nafter\n"
    with pytest.raises(ValueError, match="without"):
        replaced(f"{BEGIN}\n", "x")
