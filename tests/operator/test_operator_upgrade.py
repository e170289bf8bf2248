"""Pickers of the version before are served while they live, and never run a policy otherwise than it says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from older_picker import OlderPicker
from operator_run import Operators, Picker, condition, idle, policy, pool

from pilotage_kube.resource import CONFIG_MAPS
from pilotage_operator.revision_store import STORE_LABEL, VERSION_LABEL

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")
CONDITIONAL = {
    **policy("streamed", "streamed", "small"),
    "spec": {
        "match": {"models": ["streamed"]},
        "rules": [{"when": "request.stream", "candidates": [{"model": "small"}]}],
    },
}


@asynccontextmanager
async def older_picker(operators: Operators, name: str = "picker-old") -> AsyncIterator[OlderPicker]:
    picker = OlderPicker(operators.client, operators.namespace, name)
    try:
        yield picker
    finally:
        await picker.end()


def routes(picker) -> list[str]:
    return [one.model for one in picker.snapshot.routes]


async def served(operators: Operators, picker: OlderPicker) -> bool:
    """The operator knows of it, and it runs what is there for it."""
    head = await operators.head()
    return head.newest is not None and picker.version == head.current.version


async def runs(picker: OlderPicker, version: str) -> bool:
    return picker.version == version


async def runs_route(picker: OlderPicker | Picker, *models: str) -> bool:
    return picker.snapshot is not None and set(routes(picker)) == set(models)


async def test_pickers_of_both_versions_follow_edits_each_in_its_format(operators):
    await operators.apply(SMALL, AUTO)
    async with older_picker(operators) as older:
        newer = operators.pick()
        operators.start()
        await operators.says(AUTO, "True True True")
        await operators.eventually(lambda: served(operators, older))
        await operators.apply(policy("auto", "auto-2", "small"))
        await operators.says(AUTO, "True True True")
        await operators.eventually(lambda: runs_route(older, "auto-2"))
        await operators.eventually(lambda: runs_route(newer, "auto-2"))
        assert older.version != newer.snapshot.version
        head = await operators.head()
        assert (head.current.version, head.current.format) == (older.version, 1)
        assert (head.newest.version, head.newest.format) == (newer.snapshot.version, 2)

    async def only_todays() -> bool:
        found = await operators.head()
        return found.newest is None and found.current.format == 2

    await operators.eventually(only_todays)
    assert newer.reader.problem is None


async def test_a_policy_that_older_pickers_cannot_follow_freezes_them_and_says_so(operators):
    await operators.apply(SMALL, AUTO)
    async with older_picker(operators) as older:
        newer = operators.pick()
        process = operators.start()
        await operators.says(AUTO, "True True True")
        await operators.eventually(lambda: served(operators, older))
        before = older.version
        await operators.apply(CONDITIONAL)
        found = await operators.says(CONDITIONAL, "True True PickerOlder")
        message = condition(found, "Programmed")["message"]
        assert f"cannot follow RoutePolicy {operators.namespace}/streamed" in message
        assert "finish the upgrade" in message
        await idle(process)
        assert (older.version, older.problem) == (before, "")
        await operators.eventually(lambda: runs_route(newer, "auto", "streamed"))
        await operators.says(AUTO, "True True True")
        # an edit of another resource waits with it
        await operators.apply(policy("auto", "auto-2", "small"))
        await operators.says(AUTO, "True True PickerOlder")
        assert routes(older) == ["auto"]
        assert older.version == before
        # one that comes to life now starts from there
        async with older_picker(operators, "picker-late") as late:
            await operators.eventually(lambda: runs(late, before))
    await operators.says(AUTO, "True True True")
    await operators.says(CONDITIONAL, "True True True")


async def test_the_first_older_picker_after_an_upgrade_is_served_at_once(operators):
    """A rollback of pickers alone: nothing of the format before was published any more."""
    await operators.apply(SMALL, AUTO)
    newer = operators.pick()
    operators.start()
    await operators.says(AUTO, "True True True")
    assert (await operators.head()).newest is None
    async with older_picker(operators) as older:
        await operators.eventually(lambda: served(operators, older))
        await operators.eventually(lambda: runs_route(older, "auto"))
        assert routes(newer) == ["auto"]
        await operators.says(AUTO, "True True True")


async def test_forms_are_kept_for_both_formats_so_that_an_operator_rolled_back_has_its_last_good(operators):
    await operators.apply(SMALL, AUTO)
    async with older_picker(operators) as older:
        process = operators.start()
        await operators.says(AUTO, "True True True")
        await operators.eventually(lambda: served(operators, older))
        await idle(process)
        labels = f"{STORE_LABEL}=pilotage-snapshot,{VERSION_LABEL}={older.version}"
        kept = await operators.client.list_metadata(CONFIG_MAPS, operators.namespace, labels=labels)
        assert len(kept) == 1
        # and a next life of this operator knows what older pickers run
        await operators.end(process)
        operators.start()
        await operators.apply(policy("auto", "auto-2", "small"))
        await operators.says(AUTO, "True True True")
        await operators.eventually(lambda: runs_route(older, "auto-2"))
