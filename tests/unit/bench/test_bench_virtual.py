"""Runs in virtual time: the same again, real scheduling code on the fleet's clock, plots of what came."""

import xml.etree.ElementTree as ET
from collections import Counter
from itertools import pairwise

import pytest
from bench.placement import svg
from bench.placement.balancers import LeastRequest, RoundRobin
from bench.placement.constants import SETTLE_DELAY_SECONDS, scrape_interval_seconds
from bench.placement.pilotage import Pilotage
from bench.placement.realtime.timing import Replayed, timing_error
from bench.placement.requests import Request, Texts, system, user
from bench.placement.suite import BALANCERS, Spec, run_spec
from bench.placement.virtual import run_virtual, serve
from bench.placement.workloads import WORKLOADS


@pytest.mark.parametrize("balancer", BALANCERS)
def test_a_run_repeats_exactly_and_its_seed_matters(balancer):
    def figures(seed: int) -> dict[str, object]:
        row = run_spec(Spec("adapters", balancer, 8, seed, 0.3, 5.0))
        return {name: value for name, value in row.items() if name != "seed"}

    first = figures(11)
    assert first["requests"]
    assert first == figures(11)
    assert first != figures(23)


def test_all_balancers_meet_the_same_requests_and_all_are_answered():
    runs = [
        run_virtual(WORKLOADS["slow-server"], kind(8, 11), servers=8, seed=11, measure_seconds=2)
        for kind in (RoundRobin, LeastRequest, Pilotage)
    ]
    asked = [[(one.at_seconds, one.prompt_tokens, one.tokens) for one in run.served] for run in runs]
    assert asked[0] == asked[1] == asked[2]
    assert all(one.finished_at >= one.first_token_at > one.at_seconds for run in runs for one in run.served)
    assert all(one.at_seconds >= run.warmup_seconds for run in runs for one in run.measured())


class Watched(Pilotage):
    """Notes when it scrapes, and what is in flight."""

    def __init__(self, servers: int, seed: int) -> None:
        super().__init__(servers, seed)
        self.scraped_at: dict[int, list[float]] = {server: [] for server in range(servers)}
        self.late: list[float] = []
        self.ends: dict[int, float] = {}

    def finished(self, number, server, now):
        self.ends[number] = now
        super().finished(number, server, now)

    def wake(self, now, engine_at):
        due = [number for number, end in self.ends.items() if end + SETTLE_DELAY_SECONDS <= now]
        self.late += [now - self.ends.pop(number) - SETTLE_DELAY_SECONDS for number in due]

        def noted(server):
            self.scraped_at[server].append(now)
            return engine_at(server)

        super().wake(now, noted)


def test_every_server_is_scraped_at_the_interval_and_ends_are_settled_on_time():
    balancer = Watched(8, 11)
    run_virtual(WORKLOADS["adapters"], balancer, servers=8, seed=11, measure_seconds=5)
    for times in balancer.scraped_at.values():
        gaps = [after - before for before, after in pairwise(times)]
        assert len(gaps) > 200
        assert min(gaps) >= 0.09 - 1e-9
        assert max(gaps) <= 0.11 + 1e-9
    assert balancer.late
    assert max(balancer.late) < 1e-9


def test_scraping_a_large_fleet_is_stretched():
    assert scrape_interval_seconds(64) == 0.1
    assert scrape_interval_seconds(512) == pytest.approx(0.512)


def test_what_was_placed_before_is_served_the_same_again():
    workload = WORKLOADS["adapters"]
    requests = list(workload.requests(8, 11, workload.warmup_seconds + 5))
    first = serve(workload, LeastRequest(8, 11), requests, 8)
    again = serve(workload, Replayed([one.server for one in first]), requests, 8)
    assert [one.finished_at for one in again] == [one.finished_at for one in first]
    error = timing_error(workload, requests, first, 8)
    assert error.ttft_p95_ms == error.ttft_mean_share == error.tpot_mean_share == 0


def test_a_slower_first_token_is_told_as_an_error():
    workload = WORKLOADS["adapters"]
    requests = list(workload.requests(8, 11, workload.warmup_seconds + 5))
    late = serve(workload, RoundRobin(8, 11), requests, 8)
    for one in late:
        one.first_token_at += 0.010
    error = timing_error(workload, requests, [None, *late[1:]], 8)
    assert error.ttft_median_ms == pytest.approx(10)
    assert error.ttft_mean_share > 0


@pytest.mark.parametrize("caching", [True, False])
def test_a_shared_prompt_draws_requests_together_only_where_engines_cache_prefixes(caching):
    texts = Texts()
    shared = system(texts, "shared", 9000)
    requests = [
        Request(number, 2 + 0.05 * number, (shared, user(texts, f"user {number}", 50)), 9050, 100)
        for number in range(32)
    ]
    served = serve(WORKLOADS["shared-prefix"], Pilotage(4, 11), requests, 4, prefix_caching=caching)
    most = max(Counter(one.server for one in served).values())
    assert most >= 24 if caching else most <= 10, most


def test_plots_are_svg_with_every_figure():
    point = svg.Point(0.5, 100.0, 80.0, 130.0)
    bars = svg.bars("t", "ms", [("a<b", [("pilotage", point), ("round-robin", point)])])
    lines = svg.lines("t", "ms", "load", [("pilotage", [point, svg.Point(1.0, 500.0, 300.0, 900.0)])])
    names = [[one.tag.rpartition("}")[2] for one in ET.fromstring(drawn).iter()] for drawn in (bars, lines)]
    assert names[0].count("rect") == 1 + 2 + 2, "the background, the legend, the bars"
    assert names[1].count("circle") == 2
    assert names[1].count("polyline") == 1
