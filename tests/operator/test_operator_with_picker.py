"""The operator and the real picker: from an applied policy to requests that follow it."""

import asyncio
import time

from extproc_rig import Pods, gateway_at, picker_in
from operator_run import condition, idle, make_namespace, policy, pool

SELECTING = {"endpoints": [], "targetPorts": [8000], "engine": "openai"}


def selecting(name: str, model: str) -> dict:
    body = pool(name, model, **SELECTING, selector={"matchLabels": {"app": name}})
    del body["spec"]["endpoints"]
    return body


async def test_requests_follow_an_applied_policy_and_the_policy_says_so(operators):
    pods = Pods(operators.client, operators.namespace)
    await pods.add("small-0", "10.0.0.1", app="small")
    await pods.add("small-1", "10.0.0.2", app="small", ready=False)
    await pods.add("large-0", "10.0.1.1", app="large")
    small, large = selecting("small", "llama-8b"), selecting("large", "llama-70b")
    auto = policy("auto", "auto", "llama-8b")
    await operators.apply(small, large, auto)
    process = operators.start()
    connection = operators.plane.connection()
    async with (
        picker_in(connection, operators.client, operators.namespace) as cluster,
        gateway_at(cluster.picker.server.address) as gateway,
    ):
        await operators.says(auto, "True True True")
        found = await operators.says(small, "True True True")
        assert (await gateway.ask("auto"))[1] == ["10.0.0.1:8000"]

        async def counted() -> bool:
            return (await operators.get(small))["status"].get("endpointsReady") == "1/2"

        await operators.eventually(counted)
        found = await operators.get(small)
        assert found["status"]["endpoints"] == {"ready": 1, "total": 2}
        await idle(process)
        began = time.monotonic()
        changed = policy("auto", "auto", "llama-70b")
        await operators.apply(changed)
        while (await gateway.ask("auto"))[1] != ["10.0.1.1:8000"]:
            assert time.monotonic() - began < 15
            await asyncio.sleep(0.02)
        await operators.says(changed, "True True True")
        # the policy goes, and so does what it did
        await operators.delete(changed)
        async with asyncio.timeout(30):
            while (await gateway.ask("auto"))[0] != 404:
                await asyncio.sleep(0.02)


async def test_a_picker_that_may_not_see_a_pools_pods_says_so_on_the_pool(operators):
    from accounts import token_with
    from rights import EXTPROC_OWN, EXTPROC_WATCHED

    token = await token_with(operators.client, operators.namespace, "extproc", *EXTPROC_OWN, *EXTPROC_WATCHED)
    lender = await make_namespace(operators.client, f"{operators.namespace}-hidden")
    lent = selecting("lent", "llama-8b")
    lent["spec"]["allowedNamespaces"] = {"from": "All"}
    await operators.apply(lent, namespace=lender)
    operators.start(settings=operators.settings(watch_namespaces=(lender,)))
    async with picker_in(
        operators.plane.connection(token=token),
        operators.client,
        operators.namespace,
        kubernetes={"watchNamespaces": [lender]},
    ):
        found = await operators.says(lent, "True True RefusedByPicker", namespace=lender)
        assert "forbidden" in condition(found, "Programmed")["message"]
