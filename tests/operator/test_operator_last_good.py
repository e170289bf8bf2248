"""What is wrong keeps its last good form, whatever becomes of the operator meanwhile.

The CRDs refuse what this version refuses. CRDs of a later version do not: here they lack those rules.
"""

from operator_run import condition, idle, policy, pool

from pilotage_kube.resource import CONFIG_MAPS
from pilotage_operator.revision_store import STORE_LABEL

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")
WRONG = policy("auto", "auto-2", "small", rollout={"shadow": {"model": "search"}})


async def test_an_edit_to_something_invalid_leaves_the_last_good_in_force(lenient):
    await lenient.apply(SMALL, AUTO)
    picker = lenient.pick()
    process = lenient.start()
    await lenient.says(AUTO, "True True True")
    good = picker.snapshot
    # the API server lets a field of a later version through, this version does not
    wrong = policy("auto", "auto-2", "small", rollout={"shadow": {"model": "search"}})
    await lenient.apply(wrong)
    found = await lenient.says(wrong, "Invalid True LastGood")
    message = condition(found, "Accepted")["message"]
    assert "spec.rollout: rollout is not supported in this version; remove spec.rollout" in message
    assert "generation 1 stays in force" in message
    await idle(process)
    assert picker.snapshot == good
    assert ("Warning", "Invalid", message) in await lenient.events("auto")
    # mended: the new form takes over, and the way back is told once
    await lenient.apply(policy("auto", "auto-2", "small"))
    await lenient.says(AUTO, "True True True")
    assert picker.snapshot.routes[0].model == "auto-2"
    await idle(process)
    assert [one[:2] for one in await lenient.events("auto")] == [
        ("Warning", "Invalid"),
        ("Normal", "Accepted"),
    ]


async def test_a_new_resource_that_is_invalid_has_no_effect_and_spoils_nothing(lenient):
    wrong = policy("wrong", "other", "small", rollout={"share": "x"})
    await lenient.apply(SMALL, AUTO, wrong)
    picker = lenient.pick()
    lenient.start()
    found = await lenient.says(wrong, "Invalid Invalid NotAccepted")
    assert "nothing of it is in force" in condition(found, "Accepted")["message"]
    await lenient.says(AUTO, "True True True")
    assert {route.policy for route in picker.snapshot.routes} == {f"{lenient.namespace}/auto"}


async def test_a_last_good_form_survives_the_operator(lenient):
    """The edit comes while no operator runs: the next one only ever sees the wrong form."""
    await lenient.apply(SMALL, AUTO)
    picker = lenient.pick()
    process = lenient.start()
    await lenient.says(AUTO, "True True True")
    good = picker.snapshot
    await lenient.end(process)
    await lenient.apply(WRONG)
    process = lenient.start()
    found = await lenient.says(WRONG, "Invalid True LastGood")
    assert "generation 1 stays in force" in condition(found, "Accepted")["message"]
    # and another edit, and another life: it is the published form that is kept, not the newest seen
    await lenient.end(process)
    process = lenient.start()
    await lenient.apply(pool("large", "qwen-72b"))
    await lenient.says(pool("large"), "True True True")
    assert picker.snapshot.routes == good.routes
    assert len(picker.snapshot.pools) == 2
    await lenient.end(process)
    lenient.start()
    await lenient.says(WRONG, "Invalid True LastGood")
    assert picker.snapshot.routes == good.routes


async def test_a_resource_made_anew_does_not_inherit_the_form_of_its_predecessor(lenient):
    await lenient.apply(SMALL, AUTO)
    picker = lenient.pick()
    process = lenient.start()
    await lenient.says(AUTO, "True True True")
    await lenient.end(process)
    await lenient.delete(AUTO)
    await lenient.apply(WRONG)
    lenient.start()
    await lenient.says(WRONG, "Invalid Invalid NotAccepted")
    assert picker.snapshot.routes == ()


async def test_kept_forms_that_are_damaged_cost_what_is_wrong_and_nothing_else(lenient):
    await lenient.apply(SMALL, AUTO)
    picker = lenient.pick()
    process = lenient.start()
    await lenient.says(AUTO, "True True True")
    await lenient.end(process)
    for meta in await lenient.client.list_metadata(CONFIG_MAPS, lenient.namespace, labels=STORE_LABEL):
        await lenient.client.delete(CONFIG_MAPS, meta.name, lenient.namespace)
    await lenient.apply(WRONG)
    process = lenient.start()
    await lenient.says(WRONG, "Invalid Invalid NotAccepted")
    await lenient.says(SMALL, "True True True")
    assert picker.snapshot.routes == ()
    await idle(process)
    assert await lenient.client.list_metadata(CONFIG_MAPS, lenient.namespace, labels=STORE_LABEL)


async def test_old_forms_are_removed(lenient):
    await lenient.apply(SMALL, AUTO)
    lenient.pick()
    process = lenient.start()
    for number in range(4):
        changed = policy("auto", f"auto-{number}", "small")
        await lenient.apply(changed)
        await lenient.says(changed, "True True True")
    await idle(process)
    kept = await lenient.client.list_metadata(CONFIG_MAPS, lenient.namespace, labels=STORE_LABEL)
    # of what is published, and of its predecessor
    assert len(kept) == 2
