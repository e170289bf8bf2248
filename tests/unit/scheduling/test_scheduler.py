"""Ranking: what is kept, in which order, and how chance decides."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.snapshot import Engine
from pilotage_extproc.scheduling.candidates import CandidateSet, candidate_set
from pilotage_extproc.scheduling.contract import Weighted
from pilotage_extproc.scheduling.scheduler import Scheduler, worth
from pilotage_extproc.scheduling.scorers import InFlight, QueueDepth
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.inflight import InflightLedger

FACTS = EndpointFacts(Engine.VLLM, ("default/a",))
NOW = 1000.0


def fleet(count: int, tiers: int = 1) -> tuple[EndpointTable, CandidateSet]:
    """`count` endpoints a tier, all admitted and freshly scraped as idle."""
    table = EndpointTable()
    names = [[f"10.{tier}.0.{index}:80" for index in range(count)] for tier in range(tiers)]
    flat = [name for tier in names for name in tier]
    table.sync(dict.fromkeys(flat, FACTS))
    table.admit(flat)
    table.waiting[:] = table.running[:] = 0
    table.scraped_at[:] = NOW
    entries = [(tier, name, "default/a", f"m{tier}") for tier in range(tiers) for name in names[tier]]
    return table, candidate_set(entries, table, tiers)


def rank(scheduler: Scheduler, candidates: CandidateSet, **options):
    values = {"subset": None, "limit": 3, "tier_order": None, "now": NOW} | options
    return scheduler.rank(candidates, **values)


def test_the_least_loaded_endpoint_comes_first():
    table, candidates = fleet(4)
    table.waiting[:4] = [5, 0, 9, 2]
    ranking = rank(Scheduler(table, stale_after_seconds=2), candidates)
    assert ranking.order == [1, 3, 0]
    assert ranking.terms["queue-depth"].tolist() == [5, 0, 9, 2]


def test_a_pick_is_visible_to_the_next_so_that_a_burst_spreads():
    table, candidates = fleet(8)
    ledger = InflightLedger(table, ttl_seconds=60)
    scheduler = Scheduler(table, stale_after_seconds=2, seed=1)
    picks = Counter()
    for number in range(1000):
        first = rank(scheduler, candidates).order[0]
        picks[first] += 1
        ledger.begin(f"d-{number}", int(candidates.rows[first]), NOW + 1)
    assert max(picks.values()) - min(picks.values()) <= 12, picks


def test_a_request_placed_just_before_a_scrape_still_counts():
    table, candidates = fleet(2)
    ledger = InflightLedger(table, ttl_seconds=60)
    for number in range(10):
        ledger.begin(f"d-{number}", 0, NOW - 0.001)
    ledger.scraped(0, NOW, idle=False)  # the engine has not seen them: it says 0 running
    assert rank(Scheduler(table, stale_after_seconds=2), candidates).order[0] == 1


def test_ties_are_broken_by_chance():
    table, candidates = fleet(5)
    scheduler = Scheduler(table, stale_after_seconds=2, seed=3)
    firsts = Counter(rank(scheduler, candidates).order[0] for _ in range(1000))
    assert len(firsts) == 5
    assert min(firsts.values()) > 120


def test_stale_figures_are_not_used():
    table, candidates = fleet(2)
    table.waiting[:2] = [50, 0]
    table.scraped_at[0] = NOW - 10  # long ago: it may be idle by now
    table.inflight[1] = 3
    assert rank(Scheduler(table, stale_after_seconds=2), candidates).order[0] == 0


def test_only_admitted_endpoints_of_the_subset_are_ranked():
    table, candidates = fleet(4)
    table.admitted[0] = False
    scheduler = Scheduler(table, stale_after_seconds=2)
    subset = tuple(candidates.targets[index].address for index in (0, 2))
    ranking = rank(scheduler, candidates, subset=subset)
    assert ranking.order == [2]
    assert ranking.dropped["not yet known to the gateway"].tolist() == [True, False, False, False]
    assert rank(scheduler, candidates, subset=()).order == []
    assert rank(scheduler, candidates, subset=("10.0.0.1",)).order == [], (
        "an address without its port is none"
    )


def test_all_of_a_tier_comes_before_the_next_and_each_later_tier_keeps_a_place():
    table, candidates = fleet(5, tiers=2)
    scheduler = Scheduler(table, stale_after_seconds=2)
    tiers = [int(candidates.tiers[index]) for index in rank(scheduler, candidates).order]
    assert tiers == [0, 0, 1]
    tiers = [int(candidates.tiers[index]) for index in rank(scheduler, candidates, tier_order=[1, 0]).order]
    assert tiers == [1, 1, 0]
    table.admitted[:5] = False
    tiers = [int(candidates.tiers[index]) for index in rank(scheduler, candidates).order]
    assert tiers == [1, 1, 1]


def test_an_address_in_two_pools_is_tried_once():
    table = EndpointTable()
    table.sync({"a:1": FACTS, "b:1": FACTS})
    table.admit(["a:1", "b:1"])
    entries = [(0, "a:1", "default/x", "m"), (0, "a:1", "default/y", "m"), (0, "b:1", "default/y", "m")]
    candidates = candidate_set(entries, table, 1)
    order = rank(Scheduler(table, stale_after_seconds=2), candidates).order
    assert len({candidates.targets[index].address for index in order}) == len(order) == 2


class Broken:
    name, unit, half = "broken", "seconds", 1.0

    def score(self, view):
        raise RuntimeError("no")


def test_a_scorer_that_fails_is_skipped_and_recorded():
    table, candidates = fleet(3)
    table.waiting[:3] = [4, 0, 9]
    scorers = (Weighted(Broken(), 5.0), Weighted(QueueDepth(), 1.0), Weighted(InFlight(), 1.0))
    ranking = rank(Scheduler(table, stale_after_seconds=2, scorers=scorers), candidates)
    assert ranking.order[0] == 1
    assert ranking.skipped == ("broken",)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.1, 100))
def test_worth_falls_with_the_measure_and_stays_between_0_and_1(values, half):
    column = np.array(sorted(values))
    found = worth(column, half)
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found) <= 0).all()


def test_an_unknown_measure_is_worth_the_worst_known():
    assert worth(np.array([1.0, np.nan, 3.0]), 2.0).tolist() == [2 / 3, 0.4, 0.4]


@given(st.integers(1, 200), st.integers(1, 5), st.integers(1, 3), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_is_the_best_of_those_that_survive(count, limit, tiers, chance):
    table, candidates = fleet(count, tiers)
    for row in range(count * tiers):
        table.waiting[row] = chance.randint(0, 1000) * 50
        table.admitted[row] = chance.random() < 0.7
    ranking = rank(Scheduler(table, stale_after_seconds=2), candidates, limit=limit)
    rows = candidates.rows[ranking.order]
    assert len(set(rows.tolist())) == len(rows) <= limit
    assert table.admitted[rows].all()
    assert len(ranking.order) == min(limit, int(table.admitted[: count * tiers].sum()))
    if tiers == 1 and len(rows):
        alive = ranking.total[table.admitted[candidates.rows]]
        assert ranking.total[ranking.order[0]] >= alive.max() - 0.005
