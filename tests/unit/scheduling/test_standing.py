"""Measures that are kept from request to request are those that would be made anew."""

import math

import numpy as np
import pytest
from effort import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scheduling_fleet import FACTS, NOW, Fleet

from pilotage_api.snapshot import ProfileSnapshot, SaturationSnapshot, WeightedSnapshot
from pilotage_extproc.domain.features import NO_FEATURES, RequestFeatures
from pilotage_extproc.domain.prompt_blocks import prompt_blocks, root_of
from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.filters import all_stay
from pilotage_extproc.scheduling.profile import DEFAULT_SCORERS, SCORERS, Profile
from pilotage_extproc.scheduling.scheduler import scored
from pilotage_extproc.scheduling.standing import Standings

EVERY = ProfileSnapshot(
    scorers=tuple(WeightedSnapshot(type=name, weight=1 + at) for at, name in enumerate(SCORERS))
)
PROMPTS = [prompt_blocks(bytes([65 + at // 2]) * 600 + bytes([65 + at]) * 4000) for at in range(6)]


def view_of(fleet: Fleet, request: RequestFeatures = NO_FEATURES) -> CandidateView:
    return CandidateView(fleet.candidates, fleet.table, fleet.knowledge, request, None, fleet.now)


def assert_as_anew(standings: Standings, view: CandidateView, profile: Profile) -> bool:
    """Whether they stand at all."""
    found = standings.scored(view, profile)
    if found is None:
        return False
    terms, total = scored(view, profile, [])
    np.testing.assert_allclose(found.terms, terms, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.total, total, rtol=1e-12, atol=1e-12)
    assert found.scraped_at.tolist() == view.scraped_at.tolist()
    return True


class Traffic(RuleBasedStateMachine):
    """Whatever happens to endpoints between two requests."""

    @initialize(count=st.sampled_from([1, 3, 40]), adapter=st.sampled_from([None, "sql"]))
    def begin(self, count, adapter):
        self.fleet = Fleet(count, adapter=adapter)
        self.profiles = [self.fleet.profiles.profile(one) for one in (ProfileSnapshot(), EVERY)]
        self.standings = Standings()
        self.rows = self.fleet.candidates.rows.tolist()
        self.open = []
        self.request = RequestFeatures()

    def row(self, at: int) -> int:
        return self.rows[at % len(self.rows)]

    @rule(at=st.integers(0, 99), tokens=st.floats(0, 9000))
    def placed(self, at, tokens):
        self.open.append(self.fleet.inflight.begin("p-1", self.row(at), self.fleet.now, tokens))

    @rule(at=st.integers(0, 99))
    def ended(self, at):
        if self.open:
            self.fleet.inflight.end(self.open.pop(at % len(self.open)))

    @rule(
        at=st.integers(0, 99),
        waiting=st.integers(0, 50),
        running=st.integers(0, 90),
        cache=st.sampled_from([0.0, 0.7, math.nan]),
    )
    def scraped(self, at, waiting, running, cache):
        row = self.row(at)
        self.fleet.table.measured(row, self.fleet.now, waiting, running, cache)
        self.fleet.inflight.scraped(row, self.fleet.now, idle=not waiting + running)

    @rule(at=st.integers(0, 99), ago=st.floats(0, 9))
    def counted_anew(self, at, ago):
        self.fleet.inflight.scraped(self.row(at), self.fleet.now - ago, idle=False)

    @rule()
    def all_scraped(self):
        for row in self.rows:
            self.fleet.table.measured(row, self.fleet.now, row % 7, row % 5, 0.1)

    @rule(at=st.integers(0, 99))
    def expired(self, at):
        self.fleet.table.expire(self.row(at))

    @rule()
    def all_expired(self):
        for row in self.rows:
            self.fleet.table.expire(row)

    @rule(at=st.integers(0, 99))
    def replaced(self, at):
        address = self.fleet.table.address_of(self.row(at))
        if address is not None:
            self.fleet.table.release([address])
            self.fleet.table.prepare({**dict.fromkeys(self.fleet.table.rows(), FACTS), address: FACTS})

    @rule()
    def others_come(self):
        more = [f"10.9.{len(self.fleet.table)}.{at}:80" for at in range(70)]
        self.fleet.table.prepare(dict.fromkeys([*self.fleet.table.rows(), *more], FACTS))

    @rule(seconds=st.floats(0.1, 20))
    def passes(self, seconds):
        self.fleet.now += seconds

    @rule(at=st.integers(0, 99), prompt=st.sampled_from(PROMPTS))
    def learned(self, at, prompt):
        root = root_of(self.fleet.candidates.targets[0].upstream_model)
        self.fleet.knowledge.prefixes.learn(self.row(at), prompt.of_model(root), 4.0)

    @rule(prompt=st.sampled_from(PROMPTS))
    def learned_by_most(self, prompt):
        root = root_of(self.fleet.candidates.targets[0].upstream_model)
        for row in self.rows[3:]:
            self.fleet.knowledge.prefixes.learn(row, prompt.of_model(root), 4.0)

    @rule(prompt=st.sampled_from([None, *PROMPTS]), session=st.sampled_from([None, 7]))
    def asks(self, prompt, session):
        self.request = RequestFeatures(prompt, 3.5, session)

    @rule(at=st.integers(0, 99))
    def session_goes_there(self, at):
        row = self.row(at)
        self.fleet.knowledge.sessions.placed(7, row, int(self.fleet.table.generation[row]))

    @invariant()
    def measures_are_those_made_anew(self):
        for profile in self.profiles:
            assert_as_anew(self.standings, view_of(self.fleet, self.request), profile)


Traffic.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=40, deadline=None)
TestTraffic = Traffic.TestCase


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_measures_stand_while_all_engines_say_something_or_none_does(count):
    fleet, standings = Fleet(count), Standings()
    profile = fleet.profiles.profile(ProfileSnapshot())
    rows = fleet.candidates.rows.tolist()
    for row in rows:
        fleet.table.expire(row)
    assert assert_as_anew(standings, view_of(fleet), profile)
    for row in rows:
        fleet.table.measured(row, NOW, row % 3, row % 4, 0.5)
    assert assert_as_anew(standings, view_of(fleet), profile)
    fleet.table.expire(rows[0])
    assert assert_as_anew(standings, view_of(fleet), profile) is (count == 1)
    fleet.table.measured(rows[0], NOW, 3, 3, 0.5)
    assert assert_as_anew(standings, view_of(fleet), profile)


@pytest.mark.parametrize("holders", [0, 1, 16, 17, 1000])
def test_measures_stand_however_many_hold_the_prompt(holders):
    fleet, standings = Fleet(1000), Standings()
    root = root_of(fleet.candidates.targets[0].upstream_model)
    for row in fleet.candidates.rows[:holders].tolist():
        fleet.knowledge.prefixes.learn(row, PROMPTS[0].of_model(root), 4.0)
    view = view_of(fleet, RequestFeatures(PROMPTS[0]))
    assert assert_as_anew(standings, view, fleet.profiles.profile(ProfileSnapshot()))
    assert (view.held is None) is (holders > 16)
    for at in (0, holders - 1, 999):
        assert view.cached_at(at) == view.cached_bytes[at]


def test_scores_of_one_request_stay_as_they_were_when_endpoints_change():
    fleet, standings = Fleet(3), Standings()
    profile = fleet.profiles.profile(ProfileSnapshot())
    found = standings.scored(view_of(fleet), profile)
    before = [one.copy() for one in found]
    fleet.table.measured(int(fleet.candidates.rows[0]), NOW + 1, 90, 90, 1.0)
    standings.scored(view_of(fleet), profile)
    for now, was in zip(found, before, strict=True):
        assert now.tolist() == was.tolist()


def test_what_is_kept_of_candidates_that_nobody_asks_for_any_more_is_bounded():
    standings, fleets = Standings(), [Fleet(25_000) for _ in range(10)]
    profile = fleets[0].profiles.profile(ProfileSnapshot())
    for fleet in fleets:
        assert standings.scored(view_of(fleet), profile) is not None
    assert len(standings) == 7


def test_a_usual_request_is_kept_by_no_filter_without_asking_each():
    fleet = Fleet(3)
    view, filters = view_of(fleet), fleet.profiles.profile(ProfileSnapshot()).filters
    assert all_stay(view)
    assert [one.keep(view) for one in filters] == [None] * len(filters)
    assert len(DEFAULT_SCORERS) == 5


def everyone_pending(fleet: Fleet) -> None:
    fleet.table.prepare({**dict.fromkeys(fleet.table.rows(), FACTS), "10.8.0.1:80": FACTS})


@pytest.mark.parametrize(
    "happens",
    [
        everyone_pending,
        lambda fleet: fleet.table.drain([fleet.candidates.targets[0].address]),
        lambda fleet: fleet.hosted(0),
        lambda fleet: fleet.table.eject(int(fleet.candidates.rows[0]), NOW + 9),
    ],
)
def test_filters_are_asked_as_soon_as_one_may_drop_somebody(happens):
    fleet = Fleet(3)
    happens(fleet)
    view = view_of(fleet)
    assert not all_stay(view)
    assert any(one.keep(view) is not None for one in fleet.profiles.profile(ProfileSnapshot()).filters)


def test_filters_are_asked_where_a_pool_says_when_it_is_full():
    assert not all_stay(view_of(Fleet(3, saturation=SaturationSnapshot(queue_depth=5))))
