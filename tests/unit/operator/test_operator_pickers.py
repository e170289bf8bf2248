"""Pickers over time: who is late, and since when there is none; with a clock that is turned by hand."""

from operator_cases import report

from pilotage_kube.clock import ManualTime
from pilotage_operator.picker_view import PickerView
from pilotage_operator.published_generations import Ledger


async def test_a_picker_is_late_after_a_while_and_not_before():
    clock = ManualTime()
    view = PickerView(clock)
    seen, again = view.look((report("old"),), "new", {})
    assert (seen.late, again) == (frozenset(), 15.0)
    await clock.advance(14)
    seen, again = view.look((report("old"),), "new", {})
    assert (seen.late, again) == (frozenset(), 1.0)
    await clock.advance(1)
    seen, again = view.look((report("old"),), "new", {})
    assert (seen.late, again) == (frozenset({"picker-a"}), None)
    seen, _ = view.look((report("new"),), "new", {})
    assert seen.late == frozenset()


async def test_that_there_is_no_picker_is_said_only_when_it_lasts():
    clock = ManualTime()
    view = PickerView(clock)
    seen, again = view.look((), "v", {})
    assert (seen.missing, again) == (False, 30.0)
    await clock.advance(29)
    seen, _ = view.look((report("v"),), "v", {})
    assert not seen.missing
    view.look((report("v", ready=False),), "v", {})
    await clock.advance(30)
    seen, _ = view.look((), "v", {})
    assert seen.missing


async def test_counts_of_endpoints_change_at_most_every_two_seconds():
    clock = ManualTime()
    view = PickerView(clock)

    def ready() -> int:
        seen, _ = view.look((report("v", **{"n/p": (number, 9)}),), "v", {})
        return seen.live[0].pools["n/p"].ready

    number = 1
    assert ready() == 1
    number = 2
    assert ready() == 1
    await clock.advance(2)
    assert ready() == 2


def test_a_ledger_is_bounded_and_keeps_what_is_in_use():
    ledger = Ledger()
    for number in range(100):
        ledger.note(f"v{number}", {}, keep={"v3"})
    known = ledger.snapshot()
    assert len(known) <= 33
    assert {"v3", "v99"} <= known.keys()
