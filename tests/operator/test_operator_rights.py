"""The least rights that the operator needs, and that they suffice."""

import pytest
from accounts import token_with
from operator_run import policy, pool
from rights import OPERATOR_NAMESPACE, OPERATOR_WATCHED
from waiting import until

from pilotage_kube.client import ApiClient
from pilotage_kube.errors import Forbidden
from pilotage_kube.resource import CONFIG_MAPS, MODEL_POOLS, NAMESPACES, ROUTE_POLICIES, SECRETS

SMALL = pool("small", "llama-8b", aliases=("small",))


async def test_the_operator_works_with_the_least_rights(operators):
    token = await token_with(
        operators.client, operators.namespace, "operator", *OPERATOR_NAMESPACE, *OPERATOR_WATCHED
    )
    lost = policy("lost", "auto", "gpt-9")
    await operators.client.create(CONFIG_MAPS, CONFIG_MAPS.object("pilotage"), operators.namespace)
    await operators.apply(SMALL, lost)
    operators.pick()
    process = operators.start(token=token, settings=operators.settings(owner="pilotage"))
    await operators.says(lost, "True NoCandidates True")
    await operators.says(SMALL, "True True True")
    await until(lambda: process.active.events.written == 1)
    assert [one[:2] for one in await operators.events("lost")] == [("Warning", "NoCandidates")]
    await until(lambda: process.metrics.wakes.labels("kopf")._value.get() >= 2)
    assert process.metrics.kopf_restarts._value.get() == 0
    assert process.active.problem is None
    async with ApiClient(operators.plane.connection(token=token)) as poor:
        for forbidden in (
            poor.list_all(SECRETS, operators.namespace),
            poor.list_all(NAMESPACES),
            poor.list_all(MODEL_POOLS),
            poor.merge(ROUTE_POLICIES, "lost", {"spec": {"match": {}}}, operators.namespace),
            poor.delete(ROUTE_POLICIES, "lost", operators.namespace),
            poor.list_all(CONFIG_MAPS, "kube-system"),
        ):
            with pytest.raises(Forbidden):
                await forbidden
