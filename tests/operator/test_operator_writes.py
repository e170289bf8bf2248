"""What an edit costs the API server, and what a burst of them costs the operator."""

import asyncio

from operator_run import condition, idle, policy, pool

from pilotage_kube.resource import ROUTE_POLICIES

SMALL = pool("small", "llama-8b", aliases=("small",))
POLICIES = [policy(f"policy-{number}", f"auto-{number}", "small") for number in range(60)]


async def test_one_edit_writes_as_little_with_many_policies_as_with_few(operators):
    await operators.apply(SMALL, *POLICIES)
    operators.pick()
    process = operators.start()
    for body in (SMALL, *POLICIES):
        await operators.says(body, "True True True")
    await idle(process)
    others = {
        body["metadata"]["name"]: body["metadata"]["resourceVersion"]
        for body in await operators.client.list_all(ROUTE_POLICIES, operators.namespace)
    }
    writes, statuses = _writes(process), process.active.writer.writes
    changed = policy("policy-7", "auto-7b", "llama-8b")
    await operators.apply(changed)
    await operators.says(changed, "True True True")
    await idle(process)
    # published but not yet followed, then followed
    assert process.active.writer.writes - statuses <= 2
    # beside them: forms, shard and head written, forms and shard of the one before last removed
    assert _writes(process) - writes <= 2 + 5
    now = {
        body["metadata"]["name"]: body["metadata"]["resourceVersion"]
        for body in await operators.client.list_all(ROUTE_POLICIES, operators.namespace)
    }
    assert {name for name in now if now[name] != others[name]} == {"policy-7"}


async def test_at_rest_nothing_is_written(operators):
    await operators.apply(SMALL, *POLICIES[:3])
    picker = operators.pick()
    process = operators.start()
    for body in (SMALL, *POLICIES[:3]):
        await operators.says(body, "True True True")
    await idle(process)
    before, passes = _writes(process), process.active.reconciler.progress.passes
    for _ in range(5):
        picker.report()
        process.active.reconciler.mark_dirty()
        await asyncio.sleep(0.1)
    await idle(process)
    assert process.active.reconciler.progress.passes > passes
    assert _writes(process) == before
    # nor by an operator that starts anew
    await operators.end(process)
    process = operators.start()
    await idle(process)
    assert process.active.writer.writes == 0
    assert _writes(process) == 0


async def test_a_burst_of_edits_compiles_few_times_and_publishes_the_last(operators):
    await operators.apply(SMALL, *POLICIES)
    picker = operators.pick()
    process = operators.start()
    await operators.says(POLICIES[-1], "True True True")
    await idle(process)
    progress = process.active.reconciler.progress
    compiles, seen = progress.compiles, len(picker.seen)
    last = [policy(f"policy-{number}", f"other-{number}", "small") for number in range(60)]
    await asyncio.gather(*(operators.apply(body) for body in last))
    for body in last:
        await operators.says(body, "True True True")
    assert {route.model for route in picker.snapshot.routes} == {f"other-{number}" for number in range(60)}
    assert progress.compiles - compiles <= 4
    assert len(picker.seen) - seen <= 4


async def test_changes_of_a_status_or_a_label_compile_nothing(operators):
    await operators.apply(SMALL, POLICIES[0])
    operators.pick()
    process = operators.start()
    await operators.says(POLICIES[0], "True True True")
    await idle(process)
    compiles = process.active.reconciler.progress.compiles
    await operators.client.merge(
        ROUTE_POLICIES, "policy-0", {"metadata": {"labels": {"team": "a"}}}, operators.namespace
    )
    await idle(process)
    assert process.active.reconciler.progress.compiles == compiles


async def test_a_field_that_the_crd_drops_is_not_written_for_ever(operators, monkeypatch):
    """As a CRD older than the operator does with a status field that it does not know."""
    from pilotage_operator import plan

    columns = plan._columns
    monkeypatch.setattr(
        plan, "_columns", lambda *told, **more: {**columns(*told, **more), "ofALaterVersion": "x"}
    )
    await operators.apply(SMALL, POLICIES[0])
    operators.pick()
    process = operators.start()
    found = await operators.says(POLICIES[0], "True True True")
    assert "ofALaterVersion" not in found["status"]
    await idle(process)
    before = process.active.writer.writes
    for _ in range(5):
        process.active.reconciler.mark_dirty()
        await asyncio.sleep(0.1)
    await idle(process)
    assert process.active.writer.writes == before
    assert condition(await operators.get(POLICIES[0]), "Programmed")["status"] == "True"


def _writes(process) -> int:
    """Requests of this operator that changed something."""
    samples = process.metrics.writes.collect()[0].samples
    return int(sum(one.value for one in samples if one.name.endswith("_total")))
