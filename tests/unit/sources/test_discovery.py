"""Names of endpoints: what one of them does to the others, to the wait, and to what is in force."""

import asyncio
import time

import pytest

from pilotage_api.external_snapshot import ExternalSnapshot, ProviderDialect
from pilotage_api.snapshot import (
    EndpointSnapshot,
    Engine,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_extproc.sources import discovery as discovery_module
from pilotage_extproc.sources.discovery import Discovery, system_resolve
from pilotage_extproc.sources.pod_selection import PodSelection

LONG_LABEL = "a" * 64 + ".test"


def snapshot(*addresses: str) -> RoutingSnapshot:
    pool = PoolSnapshot(
        key="default/a",
        engine=Engine.VLLM,
        endpoints=tuple(EndpointSnapshot(address=address, port=80) for address in addresses),
        stream_usage=StreamUsage.INJECT,
        models=("m",),
    )
    return RoutingSnapshot(pools=(pool,))


class Names:
    """A resolver whose names answer when they are told to."""

    def __init__(self, **known: str) -> None:
        self.known = known
        self.silent: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self.under_way = self.most_under_way = 0

    async def resolve(self, name: str) -> list[str]:
        self.asked.append(name)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if name in self.silent:
                await self.silent[name].wait()
            await asyncio.sleep(0)
            return [self.known[name]]
        finally:
            self.under_way -= 1


async def test_a_name_no_resolver_takes_is_told_and_the_others_are_resolved():
    discovery = Discovery(lambda: None, system_resolve)
    await discovery.follow(snapshot(LONG_LABEL, "localhost", "10.0.0.9"))
    members = discovery.membership()["default/a"]
    assert "10.0.0.9:80" in members
    assert {"127.0.0.1:80", "[::1]:80"} & set(members)
    assert discovery.failed.keys() == {LONG_LABEL}
    await discovery.stop()


@pytest.mark.parametrize("error", [UnicodeError("label too long"), ValueError("odd"), KeyError("x")])
async def test_whatever_a_lookup_raises_later_names_are_resolved_again(error, monkeypatch):
    monkeypatch.setattr(discovery_module, "RESOLVE_INTERVAL_SECONDS", 0.01)
    changed = asyncio.Event()
    rounds = 0

    async def resolve(name: str) -> list[str]:
        nonlocal rounds
        if name == "a.test":
            rounds += 1
            if rounds > 1:
                raise error
            return ["10.0.0.1"]
        return ["10.0.0.2" if rounds < 3 else "10.0.0.3"]

    discovery = Discovery(changed.set, resolve)
    await discovery.follow(snapshot("a.test", "b.test"))
    async with asyncio.timeout(30):
        await changed.wait()
    assert discovery.membership() == {"default/a": ("10.0.0.1:80", "10.0.0.3:80")}
    assert discovery.failed.keys() == {"a.test"}
    await discovery.stop()


async def test_a_slow_name_holds_a_snapshot_up_once_and_not_for_long_and_comes_when_it_answers():
    names = Names(**{"quick.test": "10.0.0.1", "slow.test": "10.0.0.2"})
    names.silent["slow.test"] = asyncio.Event()
    changed = asyncio.Event()
    discovery = Discovery(changed.set, names.resolve, patience_seconds=0.05)
    followed = snapshot("slow.test", "quick.test")
    await asyncio.wait_for(discovery.follow(followed), 5)
    assert discovery.membership() == {"default/a": ("10.0.0.1:80",)}
    assert discovery.failed == {"slow.test": "no answer within 0.05 s"}
    discovery._patience_seconds = 60
    await asyncio.wait_for(discovery.follow(followed), 5)
    assert not changed.is_set()
    names.silent["slow.test"].set()
    await asyncio.wait_for(changed.wait(), 5)
    assert discovery.membership() == {"default/a": ("10.0.0.2:80", "10.0.0.1:80")}
    assert discovery.failed == {}
    assert names.asked.count("slow.test") == 1
    await discovery.stop()


async def test_names_are_resolved_at_once_but_not_all_at_once():
    known = {f"m{number}.test": f"10.0.0.{number}" for number in range(100)}
    names = Names(**known)
    discovery = Discovery(lambda: None, names.resolve)
    await discovery.follow(snapshot(*known))
    assert len(discovery.membership()["default/a"]) == 100
    assert 4 <= names.most_under_way <= 32
    await discovery.stop()


async def test_an_answer_for_a_name_that_is_no_longer_wanted_is_dropped():
    names = Names(**{"slow.test": "10.0.0.2"})
    names.silent["slow.test"] = asyncio.Event()
    discovery = Discovery(lambda: pytest.fail("nothing changed"), names.resolve, patience_seconds=0.01)
    await discovery.follow(snapshot("slow.test"))
    await discovery.follow(snapshot("10.0.0.9"))
    names.silent["slow.test"].set()
    await asyncio.sleep(0.01)
    assert discovery.membership() == {"default/a": ("10.0.0.9:80",)}
    assert discovery.failed == {}
    await discovery.stop()


async def test_stopping_does_not_wait_for_answers():
    names = Names()
    names.silent["slow.test"] = asyncio.Event()
    discovery = Discovery(lambda: None, names.resolve, patience_seconds=0.01)
    await discovery.follow(snapshot("slow.test"))
    began = time.monotonic()
    await asyncio.wait_for(discovery.stop(), 20)
    assert time.monotonic() - began < 5
    assert names.under_way == 0


class PodsResolver:
    """As a pod of the namespace `models` has it: what is not absolute is first looked for in the cluster."""

    search = ("models.svc.cluster.local", "svc.cluster.local", "cluster.local")

    def __init__(self, **zone: str) -> None:
        """Absolute names, `_` for `.`, without the last dot."""
        self._zone = {name.replace("_", "."): address for name, address in zone.items()}

    async def resolve(self, name: str) -> list[str]:
        tried = [name[:-1]] if name.endswith(".") else [*(f"{name}.{one}" for one in self.search), name]
        for one in tried:
            if one in self._zone:
                return [self._zone[one]]
        raise OSError(f"{name} is not known")


class NoPods:
    """A cluster whose pools select no pods."""

    def __init__(self) -> None:
        self.selection = PodSelection()

    async def follow(self, pools: object) -> None:
        """There are none."""

    async def stop(self) -> None:
        """There is nothing to stop."""


def hosted(host: str) -> RoutingSnapshot:
    external = ExternalSnapshot(host=host, port=443, dialect=ProviderDialect.OPENAI)
    [pool] = snapshot().pools
    return RoutingSnapshot(pools=(pool.model_copy(update={"external": external}),))


async def test_in_a_cluster_a_service_does_not_stand_in_for_a_providers_host():
    resolver = PodsResolver(
        api_example_com="8.8.8.8", api_example_com_svc_cluster_local="10.96.0.7", cluster_local="10.96.0.1"
    )
    discovery = Discovery(lambda: None, resolver.resolve, NoPods())
    await discovery.follow(hosted("api.example.com"))
    assert discovery.addresses_of("API.example.com") == ["8.8.8.8"]
    await discovery.follow(hosted("other.example.com"))
    assert discovery.addresses_of("other.example.com") == []
    await discovery.follow(hosted("10.1.2.3"))
    assert discovery.addresses_of("10.1.2.3") == ["10.1.2.3"]
    await discovery.stop()


async def test_names_of_own_servers_are_looked_for_in_the_cluster_as_before():
    resolver = PodsResolver(llama_models_svc_cluster_local="10.0.0.4")
    discovery = Discovery(lambda: None, resolver.resolve, NoPods())
    await discovery.follow(snapshot("llama"))
    assert discovery.membership() == {"default/a": ("10.0.0.4:80",)}
    await discovery.stop()
