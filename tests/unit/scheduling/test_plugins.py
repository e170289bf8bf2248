"""Plug-ins take part, are skipped when they raise, and never decide whether a request is served."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
from scheduling_fleet import Fleet

from pilotage_api.snapshot import ProfileSnapshot, StepSnapshot, WeightedSnapshot
from pilotage_extproc.scheduling.contract import PerEndpoint
from pilotage_extproc.scheduling.plugins import ENTRY_POINT_GROUP


class Broken:
    """A scorer that raises."""

    name, unit, half, reads_prompt = "broken", "seconds", 1.0, False

    def __init__(self, parameters):
        self.parameters = parameters

    def score(self, view):
        raise RuntimeError("no")


class Misshapen(Broken):
    name = "misshapen"

    def score(self, view):
        return [1.0]


class Odd:
    """A filter that keeps every second candidate."""

    reason, soft = "odd", False

    def __init__(self, parameters):
        self.parameters = parameters

    def keep(self, view):
        return np.arange(len(view)) % 2 == 0


class Last:
    """A picker that prefers the last."""

    def __init__(self, parameters):
        self.parameters = parameters

    def order(self, scores, members, limit):
        return members[::-1]


class Inventing(Last):
    def order(self, scores, members, limit):
        return np.array([999] * limit)


def per_endpoint(parameters):
    return PerEndpoint(
        "port", "ports", 100.0, lambda address: float(address.rpartition(".")[2].split(":")[0])
    )


def not_importable(name: str) -> EntryPoint:
    return EntryPoint(name, f"nowhere.at.all:{name}", ENTRY_POINT_GROUP)


def plugin(name: str, factory: object) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{getattr(factory, '__name__', '')}", ENTRY_POINT_GROUP)


PLUGINS = {
    one.name: one
    for one in (
        plugin("broken", Broken),
        plugin("misshapen", Misshapen),
        plugin("odd", Odd),
        plugin("last", Last),
        plugin("inventing", Inventing),
        plugin("port", per_endpoint),
        not_importable("gone"),
    )
}


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet(4, plugins=PLUGINS)
    fleet.set("waiting", 9, 0, 5, 7)
    return fleet


def with_scorer(name: str) -> ProfileSnapshot:
    return ProfileSnapshot(
        scorers=(WeightedSnapshot(type=name, weight=5), WeightedSnapshot(type="queue-depth", weight=1))
    )


@pytest.mark.parametrize(("name", "error"), [("broken", "RuntimeError"), ("misshapen", "ValueError")])
def test_a_scorer_that_fails_is_skipped_for_that_decision_and_recorded(fleet, name, error):
    ranking = fleet.rank(with_scorer(name))
    assert ranking.order[0] == 1
    assert ranking.skipped == (f"{name}: raised {error}",)
    assert fleet.troubles == [(name, "raised")]
    assert np.isnan(ranking.terms[0]).all()


def test_a_scorer_of_single_endpoints_goes_through_the_slow_adapter(fleet):
    fleet.set("waiting", 0, 0, 0, 0)
    assert fleet.rank(with_scorer("port")).order[:2] == [0, 1]


def test_a_filter_and_a_picker_of_a_plug_in_take_part(fleet):
    profile = ProfileSnapshot(filters=(StepSnapshot(type="odd"),), picker=StepSnapshot(type="last"))
    ranking = fleet.rank(profile)
    assert ranking.order == [2, 0]
    assert ranking.dropped["odd"].tolist() == [False, True, False, True]


def test_a_picker_that_invents_candidates_is_replaced_for_that_decision(fleet):
    ranking = fleet.rank(ProfileSnapshot(picker=StepSnapshot(type="inventing")))
    assert ranking.order[0] == 1
    assert ranking.skipped == ("inventing: raised ValueError",)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unheard-of", "no plug-in of that name is installed"),
        ("gone", "cannot be loaded (ModuleNotFoundError)"),
        ("odd", "is not a scorer: it has no name"),
    ],
)
def test_a_step_that_cannot_be_had_is_named_in_each_decision(fleet, name, why):
    ranking = fleet.rank(with_scorer(name))
    assert ranking.order[0] == 1
    assert ranking.skipped == (f"{name}: {why}",)
