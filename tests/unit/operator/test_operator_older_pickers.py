"""Pickers of the version before: what they get, and what statuses say of them."""

from operator_cases import GATEWAY, desired, policy, pool, report, stored

from pilotage_kube.clock import ManualTime
from pilotage_operator.conditions import accepted
from pilotage_operator.older_pickers import OlderPickers
from pilotage_operator.picker_view import PickerView
from pilotage_operator.programmed import ProgrammedRule
from pilotage_operator.published_generations import Ledger

OLDER = (1,)
POOL, PLAIN = pool(), policy("plain", "plain")
CONDITIONAL = policy(
    "auto",
    generation=2,
    rules=[{"when": "request.stream", "candidates": [{"model": "model-of-small"}]}],
)


async def test_nothing_is_lowered_while_no_picker_is_older():
    assert await OlderPickers().look((report("v"), report("w", "b")), desired(POOL).snapshot) is None


async def test_each_snapshot_is_lowered_once():
    older, live = OlderPickers(), (report("v", formats=OLDER),)
    first = await older.look(live, desired(POOL).snapshot)
    assert await older.look(live, desired(POOL).snapshot) is first
    assert await older.look(live, desired(POOL, PLAIN).snapshot) is not first


async def verdicts(wanted, ledger, *live):
    """Programmed of each resource, at once and when it lasts."""
    older = await OlderPickers().look(live, wanted.snapshot)
    if older.version:
        ledger.note(older.version, wanted.forms)
    seen, again = PickerView(ManualTime()).look(live, wanted.snapshot.version, ledger.snapshot(), older)
    rule = ProgrammedRule(seen, GATEWAY)
    found = {
        form.name: rule.verdict(stored(form), form, accepted(form.key, wanted))
        for form in wanted.forms.values()
    }
    return older, found, again


async def test_an_older_picker_that_runs_the_lowered_snapshot_follows():
    wanted, ledger = desired(POOL, PLAIN), Ledger()
    ledger.note(wanted.snapshot.version, wanted.forms)
    lowered = (await OlderPickers().look((report("", formats=OLDER),), wanted.snapshot)).version
    assert lowered != wanted.snapshot.version
    live = (report(wanted.snapshot.version), report(lowered, "b", formats=OLDER))
    _, found, again = await verdicts(wanted, ledger, *live)
    assert {one.reason for one in found.values()} == {"Programmed"}
    assert again is None


async def test_a_policy_that_older_pickers_cannot_follow_says_so_and_what_they_run_stays_programmed():
    before = desired(POOL, PLAIN)
    wanted, ledger = desired(POOL, PLAIN, CONDITIONAL), Ledger()
    ledger.note("frozen", before.forms)
    ledger.note(wanted.snapshot.version, wanted.forms)
    live = (report(wanted.snapshot.version), report("frozen", "b", formats=OLDER))
    older, found, _ = await verdicts(wanted, ledger, *live)
    assert older.version == ""
    assert found["auto"].reason == "PickerOlder"
    assert "picker b is of the version before and cannot follow RoutePolicy default/auto" in (
        found["auto"].message
    )
    assert {found[name].reason for name in ("small", "plain")} == {"Programmed"}


async def test_edits_of_other_resources_wait_with_it_and_say_so():
    wanted, ledger = desired(pool(generation=2), CONDITIONAL), Ledger()
    ledger.note("frozen", desired(POOL).forms)
    ledger.note(wanted.snapshot.version, wanted.forms)
    _, found, _ = await verdicts(wanted, ledger, report("frozen", "b", formats=OLDER))
    assert found["small"].reason == "PickerOlder"
    assert "default/auto" in found["small"].message


async def test_a_long_list_of_policies_is_cut():
    many = [
        policy(f"p{n}", f"m{n}", rules=[{"when": "request.stream", "candidates": [{"model": "x"}]}])
        for n in range(5)
    ]
    older = await OlderPickers().look((report("", formats=OLDER),), desired(POOL, *many).snapshot)
    assert older.why_not.endswith("default/p0, default/p1, default/p2 and 2 more")
