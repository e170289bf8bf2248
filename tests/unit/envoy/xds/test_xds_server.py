"""The xDS server, spoken to as an Envoy does, without a network."""

import asyncio
from dataclasses import replace

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import discovery_pb2

from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.ads import XdsServer
from pilotage_extproc.envoy.xds.assignment import provider_locality
from pilotage_extproc.envoy.xds.provider_resources import ProviderResources
from pilotage_extproc.transport.contract import CallRefused

A, B, C = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"


class FakeEnvoy:
    """The other end of an ADS stream."""

    def __init__(
        self,
        server: XdsServer,
        name: str,
        *,
        contract: str = names.CONTRACT,
        peer_names: frozenset[str] = frozenset(),
    ) -> None:
        self._contract = contract
        self._peer_names = peer_names
        self._to_server: asyncio.Queue[object] = asyncio.Queue()
        self._to_envoy: asyncio.Queue[bytes] = asyncio.Queue()
        self._name = name
        self._task = asyncio.create_task(server.serve(self))

    async def read(self):
        return await self._to_server.get()

    async def write(self, message: bytes) -> None:
        self._to_envoy.put_nowait(message)

    def invocation_metadata(self):
        return {names.ENVOY_HEADER: self._name, names.CONTRACT_HEADER: self._contract}

    def peer_names(self) -> frozenset[str]:
        return self._peer_names

    def ask(self, kind: str, *wanted: str, nonce: str = "", error: str = "") -> None:
        made = discovery_pb2.DiscoveryRequest(type_url=kind, resource_names=wanted, response_nonce=nonce)
        if error:
            made.error_detail.message = error
        self._to_server.put_nowait(made.SerializeToString())

    async def answer(self) -> discovery_pb2.DiscoveryResponse:
        async with asyncio.timeout(1):
            return discovery_pb2.DiscoveryResponse.FromString(await self._to_envoy.get())

    async def silent(self) -> bool:
        await settled()
        return self._to_envoy.empty()

    async def leave(self) -> None:
        self._to_server.put_nowait(None)
        await self._task

    async def follow(self, *, confirm: bool = True) -> discovery_pb2.DiscoveryResponse:
        """Take the endpoints and confirm them."""
        response = await self.answer()
        assert response.type_url == names.ENDPOINTS_TYPE
        if confirm:
            self.ask(names.ENDPOINTS_TYPE, "models", nonce=response.nonce)
            await settled()
        return response


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def addresses(response) -> list[str]:
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(response.resources[0].value)
    sockets = [e.endpoint.address.socket_address for e in assignment.endpoints[0].lb_endpoints]
    return [f"{socket.address}:{socket.port_value}" for socket in sockets]


class Ledger:
    def __init__(self) -> None:
        self.confirmed: list[frozenset[str]] = []
        self.replies: list[str] = []
        self.rejected: list[str] = []

    def server(self, **more) -> XdsServer:
        return XdsServer(
            {reach: {names.CLUSTER_TYPE: {"models": b"", "fail-open": b""}} for reach in Reach},
            on_acknowledged=self.confirmed.append,
            on_reply=self.replies.append,
            on_rejected=self.rejected.append,
            **more,
        )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def subscribe(server: XdsServer, name: str = "e1") -> FakeEnvoy:
    envoy = FakeEnvoy(server, name)
    envoy.ask(names.ENDPOINTS_TYPE, "models")
    await settled()
    return envoy


async def test_clusters_are_served_at_once_and_endpoints_only_after_the_first_publication(ledger):
    server = ledger.server()
    envoy = FakeEnvoy(server, "e1")
    envoy.ask(names.CLUSTER_TYPE)
    assert len((await envoy.answer()).resources) == 2
    envoy.ask(names.ENDPOINTS_TYPE, "models")
    assert await envoy.silent()
    assert not server.synced
    server.publish([A])
    assert addresses(await envoy.answer()) == [A]
    assert server.synced
    await envoy.leave()


async def test_an_address_is_confirmed_when_envoy_has_acknowledged_it(ledger):
    server = ledger.server()
    server.publish([A])
    envoy = await subscribe(server)
    assert ledger.confirmed == []
    await envoy.follow()
    assert ledger.confirmed == [frozenset({A})]
    server.publish([A, B])
    assert B not in ledger.confirmed[-1]
    await envoy.follow()
    assert ledger.confirmed[-1] == frozenset({A, B})
    assert ledger.replies == ["acked", "acked"]
    await envoy.leave()


async def test_all_connected_envoys_must_acknowledge(ledger):
    server = ledger.server()
    server.publish([A])
    first, second = await subscribe(server, "e1"), await subscribe(server, "e2")
    assert server.connected == ["e1", "e2"]
    await first.follow()
    assert ledger.confirmed == []
    await second.follow()
    assert ledger.confirmed == [frozenset({A})]
    await first.leave()
    await second.leave()


async def test_an_envoy_that_leaves_is_not_waited_for(ledger):
    server = ledger.server()
    server.publish([A])
    first, second = await subscribe(server, "e1"), await subscribe(server, "e2")
    await first.follow()
    await second.leave()
    assert ledger.confirmed[-1] == frozenset({A})
    await first.leave()


async def test_an_older_acknowledgement_confirms_what_it_had_while_a_newer_version_is_under_way(ledger):
    server = ledger.server()
    server.publish([A])
    envoy = await subscribe(server)
    response = await envoy.answer()
    envoy.ask(names.ENDPOINTS_TYPE, "models", nonce=response.nonce)
    await settled()
    server.publish([A, B])
    assert ledger.confirmed[-1] == frozenset({A})
    await envoy.leave()


async def test_a_refused_version_leaves_the_last_good_one(ledger):
    server = ledger.server()
    server.publish([A])
    envoy = await subscribe(server)
    await envoy.follow()
    server.publish([A, B])
    response = await envoy.follow(confirm=False)
    envoy.ask(names.ENDPOINTS_TYPE, "models", nonce=response.nonce, error="no such thing")
    assert await envoy.silent()
    assert ledger.confirmed[-1] == frozenset({A})
    assert (ledger.replies, ledger.rejected) == (["acked", "nacked"], ["no such thing"])
    await envoy.leave()


async def test_nothing_is_sent_when_nothing_changed(ledger):
    server = ledger.server()
    server.publish([A, B])
    envoy = await subscribe(server)
    await envoy.follow()
    server.publish([B, A])
    assert await envoy.silent()
    await envoy.leave()


async def test_a_repeated_request_is_answered_again(ledger):
    server = ledger.server()
    server.publish([A])
    envoy = await subscribe(server)
    first = await envoy.follow()
    envoy.ask(names.ENDPOINTS_TYPE, "models", nonce=first.nonce)
    again = await envoy.answer()
    assert (addresses(again), again.version_info) == ([A], first.version_info)
    assert again.nonce != first.nonce
    await envoy.leave()


async def test_a_removed_address_lingers_then_goes(ledger):
    server = ledger.server(linger_seconds=0.02)
    server.publish([A, B])
    envoy = await subscribe(server)
    await envoy.follow()
    server.publish([A])
    assert await envoy.silent()
    assert addresses(await envoy.follow()) == [A]
    assert ledger.confirmed[-1] == frozenset({A})
    await envoy.leave()


async def test_those_that_left_together_go_in_one_publication(ledger):
    server = ledger.server(linger_seconds=0.02)
    many = [f"10.0.{number // 250}.{number % 250}:80" for number in range(1000)]
    server.publish([A, *many])
    envoy = await subscribe(server)
    first = await envoy.follow()
    server.publish([A])
    last = await envoy.follow()
    assert addresses(last) == [A]
    assert int(last.version_info) == int(first.version_info) + 1
    await envoy.leave()


async def test_an_address_that_comes_back_in_time_is_confirmed_at_once(ledger):
    server = ledger.server()
    server.publish([A, B])
    envoy = await subscribe(server)
    await envoy.follow()
    server.publish([A])
    server.publish([A, B])
    assert ledger.confirmed[-1] == frozenset({A, B})
    assert await envoy.silent()
    await envoy.leave()


async def test_after_the_last_envoy_left_addresses_are_confirmed_by_time(ledger):
    server = ledger.server(hold_seconds=0.01)
    server.publish([A])
    envoy = await subscribe(server)
    await envoy.answer()
    await envoy.leave()
    assert ledger.confirmed == []
    await asyncio.sleep(0.03)
    assert ledger.confirmed == [frozenset({A})]


async def test_an_address_envoy_cannot_use_does_not_cost_the_others(ledger):
    server = ledger.server()
    server.publish([A, "llm.example:80"])
    envoy = await subscribe(server)
    assert addresses(await envoy.follow()) == [A]
    assert ledger.confirmed == [frozenset({A})]
    await envoy.leave()


def provider(name: str = "p", *, reach: Reach = Reach.PROVIDERS, content: bytes = b"1") -> ProviderResources:
    listener = f"provider/{name}"
    return ProviderResources(
        f"envoy://{listener}/",
        reach,
        provider_locality(listener),
        {names.CLUSTER_TYPE: {listener: content}, names.SECRET_TYPE: {f"{listener}/credential": content}},
    )


P = provider().address


async def take(envoy: FakeEnvoy, *kinds: str, error: str = "") -> list[str]:
    """Take and confirm an answer of each type; the sizes of what came."""
    came = []
    for kind in kinds:
        envoy.ask(kind)
        response = await envoy.answer()
        assert response.type_url == kind
        came.append(len(response.resources))
        envoy.ask(kind, nonce=response.nonce, error=error)
        await settled()
    return came


async def test_a_provider_is_confirmed_once_all_of_it_is(ledger):
    server = ledger.server()
    server.publish([A], (), [provider()])
    envoy = FakeEnvoy(server, "e1")
    assert await take(envoy, names.CLUSTER_TYPE, names.ENDPOINTS_TYPE) == [3, 2]
    assert ledger.confirmed[-1] == frozenset({A})
    await take(envoy, names.SECRET_TYPE)
    assert ledger.confirmed[-1] == frozenset({A, P})
    await envoy.leave()


async def test_an_envoy_of_the_contract_before_is_told_of_no_provider_and_not_waited_for(ledger):
    server = ledger.server()
    server.publish([A], (), [provider()])
    old = FakeEnvoy(server, "old", contract="1")
    assert await take(old, names.CLUSTER_TYPE, names.ENDPOINTS_TYPE) == [2, 2]
    new = FakeEnvoy(server, "new")
    await take(new, names.CLUSTER_TYPE, names.ENDPOINTS_TYPE, names.SECRET_TYPE)
    assert ledger.confirmed[-1] == frozenset({A, P})
    await old.leave()
    await new.leave()


async def test_a_provider_with_secrets_is_told_to_an_envoy_of_the_trusted_name_only(ledger):
    server = ledger.server(trusted_name="pilotage-envoy")
    server.publish([A], (), [provider(reach=Reach.SECRETS)])
    for shown in ((), ("somebody",)):
        stranger = FakeEnvoy(server, "stranger", peer_names=frozenset(shown))
        assert await take(stranger, names.CLUSTER_TYPE, names.SECRET_TYPE) == [2, 0]
        await stranger.leave()
    envoy = FakeEnvoy(server, "envoy", peer_names=frozenset({"pilotage-envoy"}))
    assert await take(envoy, names.CLUSTER_TYPE, names.ENDPOINTS_TYPE, names.SECRET_TYPE) == [3, 2, 1]
    assert ledger.confirmed[-1] == frozenset({A, P})
    await envoy.leave()


async def test_a_refused_provider_is_left_out_and_the_others_are_confirmed(ledger):
    server = ledger.server()
    server.publish([A], (), [provider(), provider("q")])
    envoy = FakeEnvoy(server, "e1")
    envoy.ask(names.CLUSTER_TYPE)
    refused = await envoy.answer()
    envoy.ask(names.CLUSTER_TYPE, nonce=refused.nonce, error="cluster(s) provider/q: bad")
    response = await envoy.answer()
    assert len(response.resources) == 3
    envoy.ask(names.CLUSTER_TYPE, nonce=response.nonce)
    await take(envoy, names.ENDPOINTS_TYPE, names.SECRET_TYPE)
    assert ledger.confirmed[-1] == frozenset({A, P})
    assert server.refused_providers == {"envoy://provider/q/": "cluster(s) provider/q: bad"}
    await envoy.leave()


async def test_a_refused_provider_is_tried_again_with_the_next_envoy(ledger):
    server = ledger.server()
    server.publish([A], (), [provider()])
    envoy = FakeEnvoy(server, "e1")
    assert await take(envoy, names.CLUSTER_TYPE, error="malformed") == [3]
    await envoy.leave()
    other = FakeEnvoy(server, "e2")
    assert await take(other, names.CLUSTER_TYPE, names.ENDPOINTS_TYPE, names.SECRET_TYPE) == [3, 2, 1]
    assert ledger.confirmed[-1] == frozenset({A, P})
    await other.leave()


async def test_a_changed_secret_is_sent_alone(ledger):
    server = ledger.server()
    server.publish([A], (), [provider(), provider("q")])
    envoy = FakeEnvoy(server, "e1")
    await take(envoy, names.CLUSTER_TYPE, names.ENDPOINTS_TYPE, names.SECRET_TYPE)
    changed = provider("q")
    resources = {**changed.resources, names.SECRET_TYPE: {"provider/q/credential": b"2"}}
    server.publish([A], (), [provider(), replace(changed, resources=resources)])
    response = await envoy.answer()
    assert [one.value for one in response.resources] == [b"2"]
    assert await envoy.silent()
    await envoy.leave()


def test_resources_of_a_provider_are_not_shown_where_it_is_printed():
    assert "SECRET" not in repr(provider(content=b"SECRET"))


async def test_an_envoy_that_confirms_nothing_is_waited_for_no_longer(ledger):
    server = ledger.server(patience_seconds=0.1)
    server.publish([A])
    envoy, silent = await subscribe(server), await subscribe(server, "silent")
    await envoy.follow()
    assert ledger.confirmed == []
    async with asyncio.timeout(30):
        while {A} not in ledger.confirmed:
            await asyncio.sleep(0.01)
    await silent.follow()
    server.publish([A, B])
    await envoy.follow()
    assert {A, B} not in ledger.confirmed, "one that has confirmed is waited for again"
    await silent.follow()
    assert ledger.confirmed[-1] == {A, B}
    await envoy.leave()
    await silent.leave()


async def test_where_no_connected_envoy_confirms_anything_all_may_be_picked(ledger):
    server = ledger.server(patience_seconds=0.1)
    stranger = FakeEnvoy(server, "asks for nothing")
    await settled()
    server.publish([A])
    async with asyncio.timeout(30):
        while {A} not in ledger.confirmed:
            await asyncio.sleep(0.01)
    await stranger.leave()


async def test_what_a_proven_envoy_refuses_is_not_picked_however_long_it_does(ledger):
    server = ledger.server(patience_seconds=0.05, trusted_name="pilotage-envoy")
    server.publish([A])
    envoy = FakeEnvoy(server, "envoy", peer_names=frozenset({"pilotage-envoy"}))
    envoy.ask(names.ENDPOINTS_TYPE, "models")
    for _ in range(10):
        response = await envoy.answer()
        envoy.ask(names.ENDPOINTS_TYPE, "models", nonce=response.nonce, error="no")
        await asyncio.sleep(0.02)
        envoy.ask(names.ENDPOINTS_TYPE, "models", nonce=response.nonce)
    assert ledger.confirmed == []
    await envoy.leave()


async def test_so_many_envoys_connect_and_no_more(ledger, monkeypatch):
    monkeypatch.setattr("pilotage_extproc.envoy.xds.ads._MOST_ENVOYS", 1)
    server = ledger.server()
    server.publish([A])
    envoy = await subscribe(server)
    one_more = FakeEnvoy(server, "one more")
    with pytest.raises(CallRefused, match="connected"):
        await one_more.leave()
    await envoy.leave()
