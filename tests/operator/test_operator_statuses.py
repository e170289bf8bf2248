"""What resources say of themselves once an operator runs."""

from operator_run import condition, policy, pool

from pilotage_kube.replica_report import Refusal
from pilotage_kube.resource import CONFIG_MAPS, ROUTE_POLICIES

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")


async def test_a_pool_and_a_policy_are_accepted_resolved_and_programmed(operators):
    await operators.apply(SMALL, AUTO)
    picker = operators.pick()
    operators.start()
    found = await operators.says(AUTO, "True True True")
    await operators.says(SMALL, "True True True")
    assert picker.snapshot.routes[0].policy == f"{operators.namespace}/auto"
    assert found["status"]["gateway"] == f"{operators.namespace}/pilotage-snapshot"
    assert found["status"]["candidates"] == "small"
    # nothing of ours but the status: no annotation, no finalizer
    assert "annotations" not in found["metadata"]
    assert "finalizers" not in found["metadata"]


async def test_get_tells_at_a_glance(operators):
    await operators.apply(SMALL, AUTO)
    picker = operators.pick()
    operators.start()
    await operators.says(SMALL, "True True True")
    picker.report(**{f"{operators.namespace}/small": (1, 2)})

    async def counted() -> bool:
        return "endpointsReady" in (await operators.get(SMALL))["status"]

    await operators.eventually(counted)
    told = operators.plane.kubectl("get", "modelpools,routepolicies", "-n", operators.namespace)
    pools, policies = told.strip().split("\n\n")
    columns = ["NAME", "MODELS", "READY", "ACCEPTED", "RESOLVED", "PROGRAMMED", "REASON", "AGE"]
    assert pools.splitlines()[0].split() == columns
    assert pools.splitlines()[1].split()[1:7] == ["llama-8b", "1/2", "True", "True", "True", "Programmed"]
    picker.report(**{f"{operators.namespace}/small": (0, 2)})

    async def none_ready() -> bool:
        return (await operators.get(SMALL))["status"]["reason"] == "NoneReady"

    await operators.eventually(none_ready)
    assert policies.splitlines()[1].split()[1:7] == [
        '["auto"]',
        "small",
        "True",
        "True",
        "True",
        "Programmed",
    ]


async def test_a_resource_is_programmed_only_once_every_ready_picker_follows_it(operators):
    await operators.apply(SMALL, AUTO)
    first, second = operators.pick("picker-a"), operators.pick("picker-b")
    operators.start()
    await operators.says(AUTO, "True True True")
    second.follows = False
    changed = policy("auto", "auto", "llama-8b")
    await operators.apply(changed)
    pending = await operators.says(changed, "True True Pending")
    assert condition(pending, "Programmed")["observedGeneration"] == 2
    # the pool has not changed: it stays programmed all the while
    pool_now = await operators.says(SMALL, "True True True")
    assert first.snapshot.version != second.snapshot.version
    # a picker that takes no requests does not count
    second.ready = False
    second.report()
    await operators.says(changed, "True True True")
    assert (await operators.get(SMALL))["metadata"]["resourceVersion"] == pool_now["metadata"][
        "resourceVersion"
    ]


async def test_without_a_picker_nothing_is_programmed(operators):
    await operators.apply(SMALL, AUTO)
    operators.start()
    found = await operators.says(AUTO, "True True Pending")
    assert "no picker" in condition(found, "Programmed")["message"]


async def test_what_a_picker_refuses_is_told_on_the_resource(operators):
    await operators.apply(SMALL, AUTO)
    picker = operators.pick()
    key = f"RoutePolicy {operators.namespace}/auto"
    picker.refusals = (Refusal(key, "UnknownScorer", "no plug-in 'mine' is installed"),)
    operators.start()
    found = await operators.says(AUTO, "True True RefusedByPicker")
    assert condition(found, "Programmed")["message"] == (
        "picker-a: UnknownScorer: no plug-in 'mine' is installed"
    )
    await operators.says(SMALL, "True True True")


async def test_a_policy_that_names_a_model_no_pool_serves_says_so(operators):
    lost = policy("lost", "lost", "gpt-9")
    half = policy("half", "half", "small", "gpt-9")
    await operators.apply(SMALL, lost, half)
    operators.pick()
    operators.start()
    found = await operators.says(lost, "True NoCandidates True")
    assert "no pool serves 'gpt-9'" in condition(found, "ResolvedRefs")["message"]
    found = await operators.says(half, "True NoSuchModel True")
    message = condition(found, "ResolvedRefs")["message"]
    assert message == (
        "spec.rules[0].candidates[1].model: no pool serves 'gpt-9'; name a model, alias or adapter of a pool"
    )
    # and no longer once one does
    await operators.apply(pool("large", "gpt-9"))
    await operators.says(lost, "True True True")
    await operators.says(half, "True True True")


async def test_a_policy_that_another_shadows_says_so(operators):
    second = policy("second", "auto", "llama-8b")
    await operators.apply(SMALL, AUTO)
    operators.pick()
    operators.start()
    await operators.says(AUTO, "True True True")
    await operators.apply(second)
    found = await operators.says(second, "Shadowed True True")
    assert (
        f"RoutePolicy {operators.namespace}/auto matches the same requests and comes first"
        in (condition(found, "Accepted")["message"])
    )
    await operators.delete(AUTO)
    await operators.says(second, "True True True")


async def test_a_conflict_over_a_name_shows_on_the_younger(operators):
    await operators.apply(pool("a-older", "llama-8b", aliases=("small",)))
    operators.pick()
    operators.start()
    await operators.says(pool("a-older"), "True True True")
    younger = pool("b-younger", "qwen-7b", aliases=("small",))
    await operators.apply(younger)
    found = await operators.says(younger, "NameConflict True True")
    message = condition(found, "Accepted")["message"]
    assert message.startswith("spec.models[0].aliases[0]: 'small' already means 'llama-8b'")
    await operators.says(pool("a-older"), "True True True")


async def test_a_transition_time_changes_with_the_status_alone(operators):
    await operators.apply(SMALL, AUTO)
    operators.pick()
    operators.start()
    before = await operators.says(AUTO, "True True True")
    changed = policy("auto", "auto", "llama-8b")
    await operators.apply(changed)
    after = await operators.says(changed, "True True True")
    assert after["metadata"]["generation"] == 2
    assert (
        condition(after, "Accepted")["lastTransitionTime"]
        == condition(before, "Accepted")["lastTransitionTime"]
    )
    assert condition(after, "Accepted")["observedGeneration"] == 2


async def test_a_status_that_somebody_spoils_is_mended(operators):
    await operators.apply(SMALL, AUTO)
    operators.pick()
    operators.start()
    await operators.says(AUTO, "True True True")
    await operators.client.merge(
        ROUTE_POLICIES,
        "auto",
        {"status": {"conditions": [], "candidates": "?"}},
        operators.namespace,
        subresource="status",
    )
    found = await operators.says(AUTO, "True True True")
    assert found["status"]["candidates"] == "small"


async def test_what_is_published_is_mended_when_somebody_removes_a_part(operators, monkeypatch):
    monkeypatch.setattr("pilotage_operator.reconciler.RESYNC_SECONDS", 0.5)
    await operators.apply(SMALL, AUTO)
    operators.pick()
    operators.start()
    await operators.says(AUTO, "True True True")
    head = await operators.head()
    for shard in head.current.shards:
        await operators.client.delete(CONFIG_MAPS, shard.name, operators.namespace)
    assert not await operators.store_is_whole()
    await operators.eventually(operators.store_is_whole)
