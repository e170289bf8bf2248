"""A status that a gateway wrote which is gone: the one that stays writes it."""

import asyncio

from operator_run import idle, make_namespace, policy, pool

from pilotage_kube.resource import CONFIG_MAPS, MODEL_POOLS

SMALL, AUTO = pool("small", "llama-8b", aliases=("small",)), policy("auto", "auto", "small")


async def writer_of(operators, body, namespace=None) -> str:
    return (await operators.get(body, namespace)).get("status", {}).get("gateway", "")


def of_gateway(operators, name, **kubernetes):
    """Settings of one of two gateways in the test's namespace."""
    return operators.settings(snapshot_name=name, replica_group=f"{name}-pickers", **kubernetes)


async def test_once_another_gateway_of_the_namespace_is_uninstalled_ours_writes_statuses_again(
    operators, monkeypatch
):
    monkeypatch.setattr("pilotage_operator.writer_view.ASK_EVERY_SECONDS", 1.0)
    monkeypatch.setattr("pilotage_operator.writer_view.AGAIN_AFTER_SECONDS", 1.0)
    monkeypatch.setattr("pilotage_operator.reconciler.RESYNC_SECONDS", 1.5)
    await operators.apply(SMALL, AUTO)
    ours = operators.start(settings=of_gateway(operators, "pilotage"))
    other = operators.start(settings=of_gateway(operators, "other"))
    theirs, mine = f"{operators.namespace}/other", f"{operators.namespace}/pilotage"

    async def all_by(gateway: str) -> bool:
        return {await writer_of(operators, SMALL), await writer_of(operators, AUTO)} == {gateway}

    await operators.eventually(lambda: all_by(theirs))
    # while both live, ours asks rarely and writes nothing
    await asyncio.gather(idle(ours), idle(other))
    writes, reads = ours.active.writer.writes, ours.active.other_writers.reads
    versions = [(await operators.get(one))["metadata"]["resourceVersion"] for one in (SMALL, AUTO)]
    passes = ours.active.reconciler.progress.passes
    for _ in range(22):
        ours.active.reconciler.mark_dirty()
        await asyncio.sleep(0.1)
    assert ours.active.reconciler.progress.passes >= passes + 10
    assert 1 <= ours.active.other_writers.reads - reads <= 3
    assert ours.active.writer.writes == writes
    assert versions == [(await operators.get(one))["metadata"]["resourceVersion"] for one in (SMALL, AUTO)]
    # as `helm uninstall` does: the operator ends, and its snapshot goes with its owner
    await operators.end(other)
    assert await all_by(theirs)
    await operators.client.delete(CONFIG_MAPS, "other", operators.namespace)
    await operators.eventually(lambda: all_by(mine))
    await idle(ours)
    reads = ours.active.other_writers.reads
    await asyncio.sleep(1.5)
    assert ours.active.other_writers.reads == reads


async def test_an_edit_that_a_gateway_elsewhere_does_not_observe_is_told_by_the_one_that_does(
    operators, monkeypatch
):
    monkeypatch.setattr("pilotage_operator.writer_view.UNOBSERVED_SECONDS", 2.0)
    gone = await make_namespace(operators.client, f"a-{operators.namespace}")
    await operators.apply(SMALL)
    status = {"gateway": f"{gone}/pilotage-snapshot", "observedGeneration": 1, "conditions": []}
    await operators.client.merge(
        MODEL_POOLS, "small", {"status": status}, operators.namespace, subresource="status"
    )
    process = operators.start()
    await idle(process)
    await asyncio.sleep(2.5)
    # it may live: nothing says that it does not
    assert await writer_of(operators, SMALL) == f"{gone}/pilotage-snapshot"
    changed = pool("small", "llama-70b")
    await operators.apply(changed)
    await asyncio.sleep(1.0)
    assert await writer_of(operators, SMALL) == f"{gone}/pilotage-snapshot"
    found = await operators.says(changed, "True True Pending")
    assert found["status"]["gateway"] == f"{operators.namespace}/pilotage-snapshot"
    assert found["status"]["observedGeneration"] == 2
    assert process.active.other_writers.reads == 0
