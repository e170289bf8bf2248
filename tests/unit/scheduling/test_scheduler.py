"""Ranking: what is kept, in which order, and how chance decides."""

import math
from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_fleet import FACTS, NOW, Fleet

from pilotage_api.snapshot import (
    ProfileSnapshot,
    SaturationSnapshot,
    StepSnapshot,
    WeightedSnapshot,
)
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.scheduling import pickers, scheduler
from pilotage_extproc.scheduling.candidates import candidate_set, group_of
from pilotage_extproc.scheduling.profile import DEFAULT_SCORERS
from pilotage_extproc.scheduling.scheduler import weighted_worth


def only(*types: str) -> ProfileSnapshot:
    return ProfileSnapshot(scorers=tuple(WeightedSnapshot(type=one, weight=1) for one in types))


def test_the_least_loaded_endpoint_comes_first():
    fleet = Fleet(4)
    fleet.set("waiting", 5, 0, 9, 2)
    ranking = fleet.rank()
    assert ranking.order == [1, 3, 0]
    assert fleet.term(ranking, "queue-depth") == [5, 0, 9, 2]


def test_a_burst_between_two_scrapes_spreads_over_the_fleet():
    fleet = Fleet(8)
    picks = Counter()
    for number in range(1000):
        first = fleet.rank().order[0]
        picks[first] += 1
        fleet.inflight.begin(f"d-{number}", int(fleet.candidates.rows[first]), NOW + 1)
    assert max(picks.values()) - min(picks.values()) <= 12, picks


def test_a_request_placed_just_before_a_scrape_still_counts():
    fleet = Fleet(2)
    row = int(fleet.candidates.rows[0])
    for number in range(10):
        fleet.inflight.begin(f"d-{number}", row, NOW - 0.001)
    fleet.inflight.scraped(row, NOW, idle=False)  # the engine has not seen them: it says 0 running
    assert fleet.rank().order[0] == 1


def test_ties_are_broken_by_chance():
    fleet = Fleet(5)
    firsts = Counter(fleet.rank().order[0] for _ in range(1000))
    assert len(firsts) == 5
    assert min(firsts.values()) > 120


def test_figures_that_are_too_old_are_not_used():
    fleet = Fleet(2)
    fleet.set("waiting", 50, 0)
    fleet.set("scraped_at", NOW - 10, NOW)
    fleet.table.unmeasured = 0
    fleet.table.expire_older_than(NOW - 2)
    fleet.inflight.begin("d-1", int(fleet.candidates.rows[1]), NOW)
    ranking = fleet.rank()
    assert ranking.order[0] == 0, "it may be idle by now"
    assert ranking.scraped_at.tolist() == [-np.inf, NOW]


def test_an_endpoint_that_stops_telling_its_load_is_taken_for_an_average_one():
    fleet = Fleet(4)
    fleet.set("waiting", 100, 4, 4, 4)
    fleet.set("running", 100, 4, 4, 4)
    fleet.set("scraped_at", NOW - 10, NOW, NOW, NOW)
    fleet.table.unmeasured = 0
    fleet.table.expire_older_than(NOW - 2)
    picks = Counter()
    for number in range(200):
        first = fleet.rank().order[0]
        picks[first] += 1
        fleet.inflight.begin(f"d-{number}", int(fleet.candidates.rows[first]), NOW + 1)
    assert 30 < picks[0] < 70, picks


def test_own_requests_count_where_no_engine_tells_its_load():
    fleet = Fleet(2)
    fleet.set("scraped_at", -np.inf, -np.inf)
    fleet.table.unmeasured = 2
    fleet.inflight.begin("d-1", int(fleet.candidates.rows[0]), NOW)
    assert fleet.rank().order[0] == 1


def test_where_most_of_a_fleet_fails_only_those_where_nobody_listens_are_left_out():
    fleet = Fleet(4)
    rows = fleet.candidates.rows.tolist()
    for row in rows[:3]:
        fleet.table.eject(row, NOW + 5)
    assert len(fleet.rank(limit=4).order) == 4
    fleet.table.unreachable[rows[0]] = True
    assert sorted(fleet.rank(limit=4).order) == [1, 2, 3]


def test_only_admitted_endpoints_of_the_subset_are_ranked():
    fleet = Fleet(4)
    fleet.table.admitted[fleet.candidates.rows[0]] = False
    fleet.table.pending = 1
    subset = tuple(fleet.candidates.targets[index].address for index in (0, 2))
    ranking = fleet.rank(subset=subset)
    assert ranking.order == [2]
    assert ranking.dropped["not yet known to the gateway"].tolist() == [True, False, False, False]
    assert fleet.rank(subset=()).order == []
    assert fleet.rank(subset=("10.0.0.1:9",)).order == [], "a port is part of an address"
    host = fleet.candidates.targets[2].address.partition(":")[0]
    assert 2 in fleet.rank(subset=(host,)).order, "without one it is any port"
    fleet.table.release(list(fleet.table.rows()))
    assert not fleet.table.rows_at(host)


def test_all_of_a_tier_comes_before_the_next_and_each_later_tier_keeps_a_place():
    fleet = Fleet(5, tiers=2)
    tiers = fleet.candidates.tiers
    assert tiers[fleet.rank().order].tolist() == [0, 0, 1]
    assert tiers[fleet.rank(tier_order=[1, 0]).order].tolist() == [1, 1, 0]
    fleet.table.admitted[fleet.candidates.rows[:5]] = False
    fleet.table.pending = 5
    assert tiers[fleet.rank().order].tolist() == [1, 1, 1]


def test_an_address_in_two_pools_is_tried_once():
    fleet = Fleet(0)
    fleet.table.sync({"a:1": FACTS, "b:1": FACTS})
    fleet.table.admit(["a:1", "b:1"])
    pools = {"default/x": ["a:1"], "default/y": ["a:1", "b:1"]}
    fleet.candidates = candidate_set(
        [group_of(found, fleet.table, pool=pool, upstream_model="m") for pool, found in pools.items()], 1
    )
    order = fleet.rank().order
    assert len({fleet.candidates.targets[index].address for index in order}) == len(order) == 2


def test_a_full_endpoint_gets_requests_only_while_all_are_full():
    fleet = Fleet(3, saturation=SaturationSnapshot(queue_depth=5, kv_cache_utilization=0.8))
    fleet.set("waiting", 5, 4, 0)
    fleet.set("kv_usage", 0, 0, 0.9)
    ranking = fleet.rank()
    assert ranking.order == [1]
    assert ranking.dropped["saturated"].tolist() == [True, False, True]
    fleet.set("waiting", 5, 6, 0)
    assert len(fleet.rank().order) == 3


def test_an_ejected_endpoint_is_left_out_unless_all_are():
    fleet = Fleet(2)
    fleet.table.eject(int(fleet.candidates.rows[0]), NOW + 5)
    assert fleet.rank().order == [1]
    fleet.table.eject(int(fleet.candidates.rows[1]), NOW + 5)
    assert len(fleet.rank().order) == 2
    assert fleet.rank(now=NOW + 5).order


def test_a_saturated_and_an_ejected_endpoint_leave_the_working_one_or_both():
    fleet = Fleet(2, saturation=SaturationSnapshot(queue_depth=5))
    fleet.table.eject(int(fleet.candidates.rows[0]), NOW + 5)
    fleet.set("waiting", 0, 9)
    assert fleet.rank().order[0] == 1, "a full endpoint is better than one that fails"


def test_a_profile_has_the_scorers_and_weights_it_names():
    fleet = Fleet(2)
    fleet.set("waiting", 0, 9)
    fleet.set("kv_usage", 0.9, 0.1)
    assert fleet.rank(only("queue-depth")).order[0] == 0
    assert fleet.rank(only("kv-cache-use")).order[0] == 1
    heavy = ProfileSnapshot(
        scorers=(
            WeightedSnapshot(type="queue-depth", weight=10),
            WeightedSnapshot(type="kv-cache-use", weight=1),
        )
    )
    assert fleet.rank(heavy).order[0] == 0


def test_a_scorer_of_weight_0_is_shown_and_does_not_count():
    fleet = Fleet(2)
    fleet.set("kv_usage", 0.9, 0.1)
    shown = ProfileSnapshot(
        scorers=(
            WeightedSnapshot(type="queue-depth", weight=1),
            WeightedSnapshot(type="kv-cache-use", weight=0),
        )
    )
    ranking = fleet.rank(shown)
    assert fleet.term(ranking, "kv-cache-use", shown) == [0.9, 0.1]
    assert ranking.total[0] == ranking.total[1]


def test_equal_profiles_are_one_and_unused_ones_are_forgotten():
    fleet = Fleet(1)
    first = fleet.profiles.profile(only("queue-depth"))
    assert fleet.profiles.profile(only("queue-depth")) is first
    fleet.profiles.keep_only([])
    assert fleet.profiles.profile(only("queue-depth")) is not first


def test_the_default_profile_is_that_of_a_pool_which_names_no_scorers():
    names = [weighted.scorer.name for weighted in Fleet(1).profiles.profile(ProfileSnapshot()).scorers]
    assert names == [one.type for one in DEFAULT_SCORERS]


def test_weighted_random_prefers_the_better_and_starves_none():
    fleet = Fleet(3)
    fleet.set("waiting", 0, 16, 16)
    profile = ProfileSnapshot(
        scorers=only("queue-depth").scorers, picker=StepSnapshot(type="weighted-random")
    )
    firsts = Counter(fleet.rank(profile).order[0] for _ in range(4000))
    assert firsts[0] / 4000 == pytest.approx(0.5, abs=0.04)
    assert firsts[1] / 4000 == pytest.approx(0.25, abs=0.04)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.1, 100))
def test_worth_falls_with_the_measure_and_stays_between_0_and_1(values, half):
    column = np.array([sorted(values)])
    found = weighted_worth(column, np.array([[half]]), np.array([[half]]))
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found) <= 0).all()


@given(st.integers(1, 200), st.integers(1, 5), st.integers(1, 3), st.randoms(use_true_random=False))
@settings(max_examples=examples(50), deadline=None)
def test_the_order_is_the_best_of_those_that_survive(count, limit, tiers, chance):
    fleet = Fleet(count, tiers)
    table, candidates = fleet.table, fleet.candidates
    for row in candidates.rows.tolist():
        table.waiting[row] = chance.randint(0, 1000) * 50
        if chance.random() < 0.3:
            table.admitted[row] = False
            table.pending += 1
    ranking = fleet.rank(limit=limit)
    rows = candidates.rows[ranking.order]
    assert len(set(rows.tolist())) == len(rows) <= limit
    assert table.admitted[rows].all()
    assert len(ranking.order) == min(limit, int(table.admitted[candidates.rows].sum()))
    if tiers == 1 and len(rows):
        alive = ranking.total[table.admitted[candidates.rows]]
        assert ranking.total[ranking.order[0]] >= alive.max() - 0.005


@given(st.integers(1, 12), st.integers(1, 6), st.integers(2, 4), st.randoms(use_true_random=False))
@settings(max_examples=examples(50), deadline=None)
def test_few_candidates_have_the_order_that_they_would_have_among_many(count, limit, tiers, chance):
    fleet = Fleet(count, tiers)
    table, rows = fleet.table, fleet.candidates.rows
    for row, load in zip(rows.tolist(), chance.sample(range(len(rows)), len(rows)), strict=True):
        table.waiting[row] = load
        if chance.random() < 0.3:
            table.admitted[row] = False
            table.pending += 1
    wanted = chance.choice([None, chance.sample(range(tiers), tiers)])
    with patch.object(pickers, "NEAR_TIE", 0.0):  # chance decides nothing
        few = fleet.rank(limit=limit, tier_order=wanted).order
        with patch.object(scheduler, "_FEW", 0):
            assert fleet.rank(limit=limit, tier_order=wanted).order == few


KV_USE = ProfileSnapshot(scorers=(WeightedSnapshot(type="kv-cache-use", weight=1),))


def test_a_cache_use_that_an_engine_does_not_say_is_the_worst_known_and_never_an_empty_cache():
    fleet = Fleet(4)
    rows = fleet.candidates.rows
    for row, usage in zip(rows, (0.2, math.nan, 0.7, 0.1), strict=True):
        fleet.table.measured(int(row), NOW, 0, 0, usage)
    ranking = fleet.rank(KV_USE)
    assert fleet.term(ranking, "kv-cache-use", KV_USE) == [0.2, 0.7, 0.7, 0.1]
    assert ranking.order[0] == 3
    fleet.table.measured(int(rows[1]), NOW, 0, 0, 0.0)
    assert fleet.rank(KV_USE).order[0] == 1
    assert fleet.table.kv_unknown == 0


def test_cache_uses_that_no_engine_says_are_all_alike():
    fleet = Fleet(3)
    for row in fleet.candidates.rows:
        fleet.table.measured(int(row), NOW, 0, 0, math.nan)
    assert fleet.table.kv_unknown == 3
    assert len(set(fleet.term(fleet.rank(KV_USE), "kv-cache-use", KV_USE))) == 1
    fleet.table.expire_older_than(NOW + 1)
    assert fleet.table.kv_unknown == 0


def test_an_engine_that_does_not_say_its_cache_use_is_not_full_because_another_is():
    fleet = Fleet(2, saturation=SaturationSnapshot(kv_cache_utilization=0.9))
    full, silent = map(int, fleet.candidates.rows)
    fleet.table.measured(full, NOW, 0, 0, 0.95)
    fleet.table.measured(silent, NOW, 0, 0, math.nan)
    assert fleet.rank(KV_USE).order[0] == 1
    assert not fleet.scheduler.full(fleet.candidates)


def test_own_servers_come_before_providers_whatever_their_load():
    fleet = Fleet(3)
    fleet.hosted(0)
    fleet.set("waiting", 0, 90, 95)
    for _ in range(20):
        assert fleet.rank(reach=Reach.SECRETS).order[2] == 0


def test_a_provider_keeps_the_last_place_behind_more_servers_than_are_tried():
    fleet = Fleet(9)
    fleet.hosted(4)
    order = fleet.rank(limit=3, reach=Reach.SECRETS).order
    assert order[2] == 4
    assert fleet.rank(limit=1, reach=Reach.SECRETS).order != [4]


def test_providers_alone_are_ordered_among_themselves():
    fleet = Fleet(3)
    fleet.hosted(0, 1, 2)
    assert sorted(fleet.rank(reach=Reach.SECRETS).order) == [0, 1, 2]


def test_a_provider_of_an_earlier_model_comes_first():
    fleet = Fleet(1, tiers=2)
    fleet.hosted(0)
    assert fleet.rank(reach=Reach.SECRETS).order == [0, 1]
    assert fleet.rank(tier_order=[1, 0], reach=Reach.SECRETS).order == [1, 0]


def test_a_gateway_is_sent_to_no_provider_that_it_cannot_reach():
    fleet = Fleet(3)
    fleet.hosted(0)
    fleet.hosted(0, 1, needs=Reach.SECRETS)
    assert sorted(fleet.rank(reach=Reach.SERVERS).order) == [2]
    assert sorted(fleet.rank(reach=Reach.PROVIDERS).order) == [2]
    assert sorted(fleet.rank(reach=Reach.SECRETS).order) == [0, 1, 2]
    fleet.table.sync({})
    assert fleet.table.hosted_rows == 0
