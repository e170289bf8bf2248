"""Whatever a plug-in says of itself, returns or does: profiles are made, requests ranked, others unharmed."""

import asyncio
import sys
import threading
import time
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from scheduling_fleet import NOW, Fleet

from pilotage_api.snapshot import ProfileSnapshot, StepSnapshot, WeightedSnapshot
from pilotage_extproc.scheduling import plugin_book
from pilotage_extproc.scheduling.plugins import (
    BUDGET_SECONDS,
    DISABLED_SECONDS,
    ENTRY_POINT_GROUP,
    FORGIVEN_AFTER,
    WALL_SECONDS,
    Guard,
    PluginSkipped,
)


class Even:
    """A scorer to whom all are alike; `parameters` set what it says of itself."""

    name, unit, half, reads_prompt = "x/even", "units", 1.0, False

    def __init__(self, parameters):
        for name, value in parameters.items():
            setattr(self, name, ODD_VALUES[value])

    def score(self, view):
        return np.zeros(len(view))


ODD_VALUES = {
    "text": "abc",
    "none": None,
    "zero": 0,
    "negative": -1.0,
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": 10**400,
    "empty": "",
    "long": "x" * 1000,
    "number": 3,
}


class RaisesWhenAsked(Even):
    @property
    def reads_prompt(self):
        raise RuntimeError("no")


def exits_when_made(parameters):
    sys.exit(3)


class Exits(Even):
    def score(self, view):
        raise SystemExit(3)


class Cancels(Even):
    def score(self, view):
        raise asyncio.CancelledError


class Writes(Even):
    """Changes every figure it can reach."""

    def score(self, view):
        for name in ("waiting", "running", "kv_usage", "inflight", "unseen", "tokens", "cached_bytes"):
            getattr(view, name)[:] = 1000.0
        return np.zeros(len(view))


class WritesRows(Even):
    def score(self, view):
        view.candidates.rows[:] = view.candidates.rows[0]
        return np.zeros(len(view))


class ReachesForTheTable(Even):
    def score(self, view):
        view.table.inflight[:] = 5
        return np.zeros(len(view))


class SameReason:
    """A filter that drops the first, for a reason another has."""

    reason, soft = "outside the gateway's subset", False

    def __init__(self, parameters):
        pass

    def keep(self, view):
        return np.arange(len(view)) > 0


class OddReason(SameReason):
    @property
    def reason(self):
        raise RuntimeError("no")


class OddSoft(SameReason):
    soft = "no"


class Floats:
    def __init__(self, parameters):
        pass

    def order(self, scores, members, limit):
        return members.astype(float)


class Repeats(Floats):
    def order(self, scores, members, limit):
        return np.repeat(members[:1], len(members))


class Stacks(Floats):
    def order(self, scores, members, limit):
        return np.stack([members, members])


class Overwrites(Floats):
    def order(self, scores, members, limit):
        order = members.copy()
        members[:] = members[0]
        scores[:] = 0.0
        return order


GATE = threading.Event()


class Waits(Even):
    """Not made before the gate opens."""

    def __init__(self, parameters):
        GATE.wait(20)


def plugin(name: str, factory: object) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{getattr(factory, '__name__', '')}", ENTRY_POINT_GROUP)


PLUGINS = {
    one.name: one
    for one in (
        plugin("x/even", Even),
        plugin("x/asked", RaisesWhenAsked),
        plugin("x/exits-when-made", exits_when_made),
        plugin("x/exits", Exits),
        plugin("x/cancels", Cancels),
        plugin("x/writes", Writes),
        plugin("x/writes-rows", WritesRows),
        plugin("x/table", ReachesForTheTable),
        plugin("x/same-reason", SameReason),
        plugin("x/odd-reason", OddReason),
        plugin("x/odd-soft", OddSoft),
        plugin("x/floats", Floats),
        plugin("x/repeats", Repeats),
        plugin("x/stacks", Stacks),
        plugin("x/overwrites", Overwrites),
        plugin("x/waits", Waits),
    )
}


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet(4, plugins=PLUGINS)
    fleet.set("waiting", 9, 0, 5, 7)
    return fleet


def scored_by(name: str, /, **parameters: str) -> ProfileSnapshot:
    return ProfileSnapshot(
        scorers=(
            WeightedSnapshot(type=name, weight=5, parameters=parameters),
            WeightedSnapshot(type="queue-depth", weight=1),
        )
    )


def filtered_by(*names: str) -> ProfileSnapshot:
    return ProfileSnapshot(filters=tuple(StepSnapshot(type=name) for name in names))


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        *(("half", value, "half must be a number above 0") for value in ("text", "none", "zero")),
        *(("half", value, "half must be a number above 0") for value in ("negative", "nan", "infinite")),
        ("half", "huge", "cannot be loaded (OverflowError)"),
        *(("name", value, "name must be text of 1 to 100 characters") for value in ("none", "empty", "long")),
        ("unit", "number", "unit must be text of 1 to 100 characters"),
        ("reads_prompt", "none", "reads_prompt must be True or False"),
    ],
)
def test_what_a_scorer_says_of_itself_is_checked_when_it_is_made(fleet, field, value, why):
    ranking = fleet.rank(scored_by("x/even", **{field: value}))
    assert ranking.order[0] == 1
    assert ranking.skipped == (f"x/even: {why}",)
    assert np.isfinite(ranking.total).all()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x/asked", "cannot be loaded (RuntimeError)"),
        ("x/exits-when-made", "cannot be loaded (SystemExit)"),
        ("x/exits", "raised SystemExit"),
        ("x/cancels", "raised CancelledError"),
        ("x/table", "raised AttributeError"),
        ("x/writes-rows", "raised ValueError"),
    ],
)
def test_a_scorer_that_raises_anything_anywhere_is_skipped(fleet, name, why):
    ranking = fleet.rank(scored_by(name))
    assert ranking.order[0] == 1
    assert ranking.skipped == (f"{name}: {why}",)


def test_a_module_that_exits_when_it_is_imported_is_skipped(tmp_path, monkeypatch):
    (tmp_path / "leaves_at_once.py").write_text("import sys; sys.exit(4)\n")
    monkeypatch.syspath_prepend(tmp_path)
    fleet = Fleet(2, plugins={"x/gone": EntryPoint("x/gone", "leaves_at_once:Step", ENTRY_POINT_GROUP)})
    assert fleet.rank(scored_by("x/gone")).skipped == ("x/gone: cannot be loaded (SystemExit)",)


def test_a_scorer_is_told_by_its_type_whatever_it_calls_itself(fleet):
    profile = fleet.profiles.profile(scored_by("x/even", name="text"))
    assert [one.scorer.name for one in profile.scorers] == ["x/even", "queue-depth"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x/odd-reason", "cannot be loaded (RuntimeError)"),
        ("x/odd-soft", "soft must be True or False"),
        ("x/even", "is not a filter: it has no reason"),
    ],
)
def test_a_filter_that_is_none_is_left_out(fleet, name, why):
    ranking = fleet.rank(filtered_by(name))
    assert ranking.skipped == (f"{name}: {why}",)
    assert ranking.dropped == {}


def test_filters_of_one_reason_are_told_apart(fleet):
    ranking = fleet.rank(filtered_by("x/same-reason"), subset=tuple(fleet.table.rows())[:3])
    assert {reason: mask.tolist() for reason, mask in ranking.dropped.items()} == {
        "outside the gateway's subset": [False, False, False, True],
        "outside the gateway's subset (x/same-reason)": [True, False, False, False],
    }


@pytest.mark.parametrize("name", ["x/floats", "x/repeats", "x/stacks"])
def test_a_picker_that_returns_no_order_is_replaced_for_that_decision(fleet, name):
    ranking = fleet.rank(ProfileSnapshot(picker=StepSnapshot(type=name)))
    assert ranking.order[0] == 1
    assert len(ranking.order) == 3
    assert ranking.skipped == (f"{name}: raised ValueError",)


def test_a_picker_gets_copies(fleet):
    ranking = fleet.rank(ProfileSnapshot(picker=StepSnapshot(type="x/overwrites")))
    assert ranking.skipped == ()
    assert ranking.total.min() > 0
    assert fleet.candidates.all.tolist() == [0, 1, 2, 3]


def test_a_scorer_that_writes_to_its_columns_changes_nothing_for_those_after_it(fleet):
    profile = scored_by("x/writes")
    ranking = fleet.rank(profile)
    assert ranking.skipped == ()
    assert fleet.term(ranking, "queue-depth", profile) == [9, 0, 5, 7]
    assert fleet.table.waiting[fleet.candidates.rows].tolist() == [9, 0, 5, 7]


def test_one_that_is_slow_to_make_holds_profiles_up_once_and_joins_when_it_is_made(fleet, monkeypatch):
    monkeypatch.setattr(plugin_book, "LOADING_SECONDS", 0.05)
    GATE.clear()
    profile = scored_by("x/waits")
    try:
        assert fleet.rank(profile).skipped == ("x/waits: is still starting",)
        assert fleet.rank(profile).skipped == ("x/waits: is still starting",)
        assert fleet.troubles == [("x/waits", "slow")]
    finally:
        GATE.set()
    deadline = time.monotonic() + 10
    while fleet.rank(profile).skipped and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fleet.rank(profile).skipped == ()


def test_tenants_with_other_parameters_have_another_guard(fleet):
    one, other = (fleet.profiles.profile(scored_by("x/even", unit=unit)) for unit in ("text", "long"))
    again = fleet.profiles.profile(
        scored_by("x/even", unit="text").model_copy(update={"picker": StepSnapshot(type="max-score")})
    )
    assert again.scorers[0].scorer.guard is one.scorers[0].scorer.guard
    assert other.missing == ("x/even: unit must be text of 1 to 100 characters",)
    fleet.profiles.keep_only([])
    assert fleet.profiles.profile(scored_by("x/even", unit="text")).scorers[0].scorer.guard is not (
        one.scorers[0].scorer.guard
    )


class Timed:
    """A guard whose clocks only its steps move."""

    def __init__(self) -> None:
        self.computed = self.passed = 0.0
        self.now = NOW
        self.troubles: list[str] = []
        self.guard = Guard(
            "x/timed",
            lambda: self.now,
            lambda _name, what: self.troubles.append(what),
            processor_time=lambda: self.computed,
            wall_time=lambda: self.passed,
        )

    def run(self, computed: float = 0.0, passed: float = 0.0, *, fails: bool = False) -> None:
        def step() -> None:
            self.computed += computed
            self.passed += max(computed, passed)
            if fails:
                raise RuntimeError("no")

        self.guard.run(step)


SLOW = 1.5 * BUDGET_SECONDS


@pytest.mark.parametrize("spent", [{"computed": SLOW}, {"passed": 1.5 * WALL_SECONDS}])
def test_the_second_overrun_switches_it_off_for_a_time(spent):
    timed = Timed()
    timed.run(**spent)
    timed.run(**spent)
    with pytest.raises(PluginSkipped, match="switched off for 60 s more: it was too slow"):
        timed.run()
    assert timed.troubles == ["slow", "slow"]
    timed.now += DISABLED_SECONDS
    timed.run(**spent)
    with pytest.raises(PluginSkipped, match="switched off"):
        timed.run()


def test_waiting_for_a_busy_processor_is_no_overrun():
    timed = Timed()
    for _ in range(10):
        timed.run(computed=0.5 * BUDGET_SECONDS, passed=5 * BUDGET_SECONDS)
    assert timed.troubles == []


def test_one_overrun_is_forgiven_after_many_calls_within_the_budget():
    timed = Timed()
    for _ in range(3):
        timed.run(computed=SLOW)
        for _ in range(FORGIVEN_AFTER):
            timed.run()
    assert timed.troubles == ["slow"] * 3


def test_one_that_is_slow_and_raises_is_switched_off_too():
    timed = Timed()
    for _ in range(2):
        with pytest.raises(PluginSkipped, match="raised RuntimeError"):
            timed.run(computed=SLOW, fails=True)
    with pytest.raises(PluginSkipped, match="switched off"):
        timed.run()
    assert timed.troubles == ["raised", "slow"] * 2


def test_one_that_raises_at_each_request_is_logged_once_a_minute_with_the_number_not_logged(caplog):
    timed = Timed()
    for second in range(65):
        timed.now = NOW + second
        with pytest.raises(PluginSkipped):
            timed.run(fails=True)
    assert [record.failures_not_logged for record in caplog.records] == [0, 59]
    assert timed.troubles == ["raised"] * 65
