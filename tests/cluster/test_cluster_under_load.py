"""Whatever restarts or dies: no request is lost that had not begun to answer."""

import asyncio
import json

import aiohttp
import pytest
from cluster_rig import (
    EXAMPLES,
    GATEWAY,
    MODELS,
    CommandFailed,
    apply_examples,
    get,
    helm,
    install,
    kill,
    kubectl,
    part,
    pods,
    until,
)

from load import Load


def roll_out(namespace: str, *deployments: str) -> None:
    for name in deployments:
        kubectl("rollout", "restart", "-n", namespace, f"deployment/{name}")
    for name in deployments:
        kubectl("rollout", "status", "-n", namespace, f"deployment/{name}", "--timeout=180s")


def names(part_name: str) -> set[str]:
    return {one["metadata"]["name"] for one in part(part_name)}


async def ended(namespace: str, *, within: float = 90) -> None:
    """Until no pod is about to go any more: what stops late may lose a request late."""

    def going() -> bool:
        return any("deletionTimestamp" in one["metadata"] for one in get("pods", "-n", namespace)["items"])

    await asyncio.to_thread(until, lambda: not going(), seconds=within)


@pytest.mark.parametrize("what", ["extproc", "envoy"])
async def test_a_rolling_update_of_the_gateway_loses_nothing(gateway, what):
    before = names(what)
    async with Load(gateway) as load:
        await asyncio.to_thread(roll_out, GATEWAY, f"pilotage-{what}")
        await ended(GATEWAY)
        await load.more(20)
    assert not before & names(what)
    assert load.count("answered") > 50
    assert load.count("lost") == 0, load.told()
    assert load.count("cut") == 0, load.told()


async def test_a_rolling_update_of_model_servers_loses_nothing(gateway):
    async with Load(gateway) as load:
        await asyncio.to_thread(roll_out, MODELS, "llama-8b")
        await ended(MODELS)
        await load.more(20)
    assert load.count("answered") > 50
    assert load.count("lost") == 0, load.told()
    assert load.count("cut") == 0, load.told()
    servers = {f"{one['status']['podIP']}:8000" for one in pods(MODELS, app="llama-8b")}
    assert {fate.endpoint for fate in load.fates[-10:]} <= servers


async def test_a_server_that_is_killed_cuts_only_what_it_had_begun(gateway):
    body = {
        "model": "small",
        "messages": [{"role": "user", "content": "A long story, please."}],
        "max_tokens": 20_000,
        "stream": True,
    }
    async with Load(gateway) as load, aiohttp.ClientSession() as session:
        async with session.post(f"{gateway}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            endpoint = answer.headers["x-pilotage-decision"].split("endpoint=")[1].split(";")[0]
            await answer.content.readany()
            (victim,) = (
                one for one in pods(MODELS, app="llama-8b") if f"{one['status']['podIP']}:8000" == endpoint
            )
            await asyncio.to_thread(kill, victim)
            with pytest.raises(aiohttp.ClientPayloadError):
                while await answer.content.readany():
                    pass
        await load.more(60)
    assert load.count("lost") == 0, load.told()
    assert load.count("cut") <= 6, load.told()
    kubectl("rollout", "status", "-n", MODELS, "deployment/llama-8b", "--timeout=60s")


async def test_an_upgrade_and_a_rollback_lose_nothing(gateway):
    before = names("extproc") | names("envoy") | names("operator")
    revision = json.loads(helm("list", "-o", "json"))[0]["revision"]
    async with Load(gateway) as load:
        told = await asyncio.to_thread(
            install, settings={"namespaces": [MODELS], "decisionHeaders": "full", "maxAttempts": 4}
        )
        assert "has been upgraded" in told
        await ended(GATEWAY)
        between = names("extproc") | names("envoy") | names("operator")
        await asyncio.to_thread(helm, "rollback", "pilotage", revision, "--wait", "--timeout", "180s")
        await ended(GATEWAY)
        await load.more(20)
    after = names("extproc") | names("envoy") | names("operator")
    assert not before & between
    assert not between & after
    assert load.count("lost") == 0, load.told()
    assert load.count("cut") == 0, load.told()
    statuses = get("modelpools,routepolicies", "-n", MODELS)["items"]
    assert len(statuses) == 4


async def test_the_operators_death_stops_no_request_and_the_next_one_catches_up(gateway):
    text = (EXAMPLES / "policies.yaml").read_text().split("---")[0]
    changed = text.replace("    - model: small\n", "").replace("name: small-first", "name: strong-first")
    try:
        async with Load(gateway) as load:
            (operator,) = part("operator")
            await asyncio.to_thread(kill, operator)
            await asyncio.to_thread(kubectl, "apply", "-n", MODELS, "-f", "-", given=changed)
            await load.more(40)
            generation = get("routepolicy", "auto", "-n", MODELS)["metadata"]["generation"]

            def caught_up() -> bool:
                status = get("routepolicy", "auto", "-n", MODELS).get("status", {})
                programmed = {one["type"]: one for one in status.get("conditions", [])}.get("Programmed", {})
                return (programmed.get("observedGeneration"), programmed.get("status")) == (
                    generation,
                    "True",
                )

            await asyncio.to_thread(until, caught_up, seconds=90)
            await load.more(12)
        assert load.count("lost") == 0, load.told()
        strong = {f"{one['status']['podIP']}:8000" for one in pods(MODELS, app="llama-70b")}
        assert {fate.endpoint for fate in load.fates[-6:]} <= strong
    finally:
        kubectl("apply", "-n", MODELS, "-f", "-", given=text)


async def test_a_node_drain_takes_one_picker_at_a_time(gateway):
    """On one node a second can never go: the first one's replacement finds no place."""
    selector = "--pod-selector=app.kubernetes.io/component=extproc"
    try:
        async with Load(gateway) as load:
            with pytest.raises(CommandFailed, match="disruption budget"):
                await asyncio.to_thread(kubectl, "drain", "node1", selector, "--timeout=40s")
            await load.more(20)
        assert load.count("lost") == 0, load.told()
        ready = [one for one in part("extproc") if one["status"]["phase"] == "Running"]
        assert len(ready) == 1
    finally:
        kubectl("uncordon", "node1")
    kubectl("rollout", "status", "-n", GATEWAY, "deployment/pilotage-extproc", "--timeout=60s")
    apply_examples()
