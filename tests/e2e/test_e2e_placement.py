"""A fleet under load whose endpoints come, go, restart with empty caches, stall on `/metrics` and lie."""

import asyncio
import random
import socket
from collections import Counter

import aiohttp
import pytest
from free_ports import free_ports
from gateway_rig import SMALL, GatewayRig, pool

from pilotage_sim.faults import MetricsFault

LONG = "The keeper of the lighthouse looked over the grey sea. " * 40


async def ask(session: aiohttp.ClientSession, rig: GatewayRig, text: str, tokens: int = 4) -> int:
    body = {"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as answer:
        await answer.read()
        return answer.status


class Load:
    """Requests without end from so many clients, with prompts that share prefixes."""

    def __init__(self, session: aiohttp.ClientSession, rig: GatewayRig, clients: int) -> None:
        self.statuses: Counter[int] = Counter()
        self._tasks = [asyncio.create_task(self._client(session, rig, number)) for number in range(clients)]

    async def _client(self, session: aiohttp.ClientSession, rig: GatewayRig, number: int) -> None:
        chance = random.Random(number)
        while True:
            # half are turns of six stories, half are new
            story = chance.randrange(6) if chance.random() < 0.5 else chance.random()
            text = f"story {story}: {LONG} {chance.random()}"
            self.statuses[await ask(session, rig, text)] += 1

    async def more(self, rig: GatewayRig, count: int) -> None:
        """Until so many more have been answered."""
        until = self.statuses.total() + count
        await rig.until(lambda: self.statuses.total() >= until, 30)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def served_by(rig: GatewayRig, count: int) -> Counter[str]:
    return Counter(one["attempts"][0]["address"] for one in rig.decisions(count))


async def test_a_fleet_in_trouble_answers_every_request(start_gateway, session):
    rig: GatewayRig = await start_gateway(small=4, time_scale=0.1)
    load = Load(session, rig, 16)
    try:
        await load.more(rig, 100)
        liar, staller, endless, mortal = rig.servers
        staller.faults.metrics = MetricsFault.STALL
        endless.faults.metrics = MetricsFault.ENDLESS
        liar.faults.metrics = MetricsFault.GARBAGE
        await load.more(rig, 300)
        await mortal.kill()
        await load.more(rig, 200)
        await mortal.restart()
        await rig.until(lambda: rig.runtime.state.table.counts(rig.runtime.clock())["ejected"] == 0)
        await load.more(rig, 300)
        assert served_by(rig, 200)[mortal.address] > 0, "it gets requests again"
        for server in (liar, staller, endless):
            server.faults.metrics = MetricsFault.OK
            assert served_by(rig, 500)[server.address] > 0, "servers without figures still take part"
        # one goes and another comes
        ports = [server.port for server in rig.servers[:3]] + free_ports(1)
        rig.write("small.yaml", pool("small", ports, SMALL))
        await rig.recompiled(2)
        await load.more(rig, 300)
        recent = served_by(rig, 100)
        assert recent[mortal.address] == 0
        assert recent[f"127.0.0.1:{ports[3]}"] > 0
    finally:
        await load.stop()
    assert set(load.statuses) == {200}, load.statuses


async def test_a_server_that_is_gone_is_left_out_within_a_scrape_and_taken_back_empty(start_gateway, session):
    rig: GatewayRig = await start_gateway(small=3, time_scale=0.1)
    assert await ask(session, rig, LONG) == 200
    home = (await rig.settled_decision())["attempts"][0]["address"]
    assert await ask(session, rig, LONG + " And then?") == 200
    decision = await rig.settled_decision()
    assert decision["attempts"][0]["address"] == home
    assert decision["cachedTokens"] > 0.8 * decision["request"]["promptTokens"]
    [server] = [one for one in rig.servers if one.address == home]
    await server.kill()
    await rig.until(lambda: rig.runtime.state.table.counts(rig.runtime.clock())["ejected"] == 1, 2)
    assert await ask(session, rig, LONG + " Well?") == 200
    decision = await rig.settled_decision()
    assert decision["outcome"]["attempts"] == 1, "nobody tried the server that is gone"
    away = {one["address"]: one["dropped"] for one in decision["candidates"]}
    assert away[home] == ["failing or unreachable"]
    await server.restart()
    await rig.until(lambda: rig.runtime.state.table.counts(rig.runtime.clock())["ejected"] == 0, 3)
    assert await ask(session, rig, LONG + " Now?") == 200
    [back] = [one for one in (await rig.settled_decision())["candidates"] if one["address"] == home]
    assert back["terms"]["uncached-prefill"] > 0.9 * decision["request"]["promptTokens"], "its cache is empty"


async def test_a_burst_between_two_scrapes_spreads(start_gateway, session):
    rig: GatewayRig = await start_gateway(small=4, settings={"scrape": {"intervalSeconds": 5}})
    statuses = await asyncio.gather(*(ask(session, rig, f"{number}: hello", 30) for number in range(80)))
    assert set(statuses) == {200}
    spread = served_by(rig, 80)
    assert max(spread.values()) <= 1.4 * 80 / 4, spread


async def test_a_policy_has_a_profile_of_its_own(start_gateway, session):
    policies = [
        {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "RoutePolicy",
            "metadata": {"name": "sticky"},
            "spec": {
                "match": {"models": ["sticky"]},
                "rules": [{"candidates": [{"model": "small"}]}],
                "scheduling": {"scorers": [{"type": "session-affinity", "weight": 1}]},
            },
        }
    ]
    rig: GatewayRig = await start_gateway(small=3, policies=policies)
    body = {"model": "sticky", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    places = set()
    for _ in range(8):
        headers = {"x-session-id": "s-1"}
        async with session.post(f"{rig.url}/v1/chat/completions", json=body, headers=headers) as answer:
            assert answer.status == 200
            await answer.read()
        places.add((await rig.settled_decision())["attempts"][0]["address"])
    assert len(places) == 1
    assert [one["name"] for one in (await rig.settled_decision())["scorers"]] == ["session-affinity"]


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_an_address_is_served_however_it_is_spelled(start_gateway, session):
    [port] = free_ports(1)
    six = pool("six", [port], [{"name": "six"}])
    six["spec"]["endpoints"][0]["address"] = "0:0:0:0:0:0:0:1"
    rig: GatewayRig = await start_gateway(small=1, policies=[six])
    body = {"model": "six", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
    decision = await rig.settled_decision()
    assert decision["outcome"]["servedBy"] == f"[::1]:{port}"
    assert decision["attempts"][0]["address"] == f"[::1]:{port}"
