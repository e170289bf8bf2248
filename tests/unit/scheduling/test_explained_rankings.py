"""What an explanation says of steps that were skipped, knew nothing, or chose by chance."""

import dataclasses
import io
from importlib.metadata import EntryPoint

import numpy as np
import orjson
import pytest
from rich.console import Console
from scheduling_fleet import NOW, Fleet

from pilotage_api.snapshot import ProfileSnapshot, StepSnapshot, WeightedSnapshot
from pilotage_cli.explanation import print_explanation
from pilotage_extproc.domain.decision import Decision
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.plan import NO_PLAN
from pilotage_extproc.scheduling.plugins import ENTRY_POINT_GROUP
from pilotage_extproc.scheduling.route import Route
from pilotage_extproc.scheduling.scheduler import Ranking


class Unknowing:
    """A scorer that does not know its first endpoint."""

    name, unit, half, reads_prompt = "queue-depth", "requests", 4.0, False

    def __init__(self, parameters):
        pass

    def score(self, view):
        column = np.full(len(view), 4.0)
        column[0] = np.nan
        return column


class Endless(Unknowing):
    def score(self, view):
        return np.full(len(view), np.inf)


class Broken(Unknowing):
    def score(self, view):
        raise RuntimeError("no")


class WorstFirst:
    def __init__(self, parameters):
        pass

    def order(self, scores, members, limit):
        return members[np.argsort(scores[members])]


PLUGINS = {
    name: EntryPoint(name, f"{__name__}:{factory.__name__}", ENTRY_POINT_GROUP)
    for name, factory in {
        "x/unknowing": Unknowing,
        "x/endless": Endless,
        "x/broken": Broken,
        "x/worst-first": WorstFirst,
    }.items()
}


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet(4, plugins=PLUGINS)
    fleet.set("waiting", 9, 0, 5, 7)
    return fleet


def scored_by(*names: str) -> ProfileSnapshot:
    return ProfileSnapshot(scorers=tuple(WeightedSnapshot(type=name, weight=2) for name in names))


def explained(fleet: Fleet, snapshot: ProfileSnapshot, ranking: Ranking | None = None):
    profile = fleet.profiles.profile(snapshot)
    ranking = ranking or fleet.rank(snapshot)
    route = Route(fleet.candidates, None, None, None, ("m0",), profile, {})
    targets = tuple(fleet.candidates.targets[index] for index in ranking.order)
    exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}))
    exchange.routed(route, NO_PLAN, "v")
    exchange.decided(ranking, Decision("x-1", targets, "m0", None, None, "v", NOW))
    return orjson.loads(orjson.dumps(explain(DecisionRecord.of(exchange, 0.0), "x")))


def printed(explanation) -> str:
    file = io.StringIO()
    print_explanation(Console(file=file, width=300, soft_wrap=True), explanation)
    return file.getvalue()


@pytest.mark.parametrize("name", ["x/unknowing", "x/endless", "x/broken"])
def test_the_points_of_a_candidate_add_up_to_its_score(fleet, name):
    found = explained(fleet, scored_by(name, "queue-depth", "in-flight"))
    for one in found["candidates"]:
        together = sum(points for points in one["points"].values() if points is not None)
        assert together == pytest.approx(one["score"], abs=0.0002)
    assert printed(found)


def test_the_shares_are_those_that_counted_in_the_decision(fleet):
    found = explained(fleet, scored_by("x/broken", "queue-depth", "in-flight"))
    assert [(one["name"], one["share"], one["skipped"]) for one in found["scorers"]] == [
        ("x/broken", 0.0, True),
        ("queue-depth", 0.5, False),
        ("in-flight", 0.5, False),
    ]


def test_an_unknown_measure_is_shown_with_the_points_of_the_worst_known(fleet):
    found = explained(fleet, scored_by("x/unknowing", "queue-depth"))
    first = next(one for one in found["candidates"] if one["address"].startswith("10.0.0.0:"))
    assert (first["terms"]["x/unknowing"], first["points"]["x/unknowing"]) == (None, 0.25)
    assert "unknown → 0.250" in printed(found)


def test_a_plug_in_that_calls_itself_like_a_built_in_scorer_hides_nothing(fleet):
    found = explained(fleet, scored_by("x/unknowing", "queue-depth"))
    last = next(one for one in found["candidates"] if one["address"].startswith("10.0.0.3:"))
    assert last["terms"] == {"x/unknowing": 4.0, "queue-depth": 7.0}


def test_a_pick_that_scores_less_than_another_is_said_to(fleet):
    profile = scored_by("queue-depth").model_copy(update={"picker": StepSnapshot(type="x/worst-first")})
    found = explained(fleet, profile)
    assert found["runnerUp"] == {"address": "10.0.0.1:80", "margin": -0.36, "tie": False}
    assert "picked though 10.0.0.1:80 scores 0.360 more" in printed(found)


def test_of_runners_up_in_a_tie_the_one_to_be_tried_next_is_named(fleet):
    fleet.set("waiting", 0, 0, 0, 0)
    snapshot = scored_by("queue-depth")
    ranking = dataclasses.replace(fleet.rank(snapshot), order=[0, 3, 1])
    found = explained(fleet, snapshot, ranking)
    assert found["runnerUp"]["address"] == found["attempts"][1]["address"] == "10.0.0.3:80"


def test_a_profile_without_a_scorer_that_can_be_had_ranks_and_is_explained(fleet):
    found = explained(fleet, scored_by("x/nowhere"))
    assert len(found["attempts"]) == 3
    assert found["scorers"] == []
    assert printed(found)
