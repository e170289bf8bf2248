"""Peers are connected over plaintext or TLS, and only those that hold the certificate announced for them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import grpc
import pytest
from issuer import Issuer, Pair, dns, ip, uri

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.server.addresses import split_address
from pilotage_extproc.server.tls import self_signed
from pilotage_extproc.settlement.link import CertificateFault, PeerLink
from pilotage_extproc.settlement.news import BreakerNews, EjectionNews, News
from pilotage_extproc.settlement.peers import Peers, peer_service
from pilotage_extproc.telemetry.metrics import Telemetry
from pilotage_extproc.transport.contract import Handler, Method, Service, Stream
from pilotage_extproc.transport.grpcio import GrpcioPort

OUTCOME = Outcome("owner-1", 200, "10.0.0.1:8000", 1, 2.0, 0.5)
SECONDS_TO_NOTICE = 10.0
HELLO_INTERVAL_SECONDS = 0.05


class RunningPeer:
    """A process that answers its peers, plaintext or with the pair it holds now."""

    def __init__(self, pair: Pair | None = None, process_id: str = "owner") -> None:
        self.settled: list[str] = []
        self.heard: list[News] = []
        self.calls = 0
        """Deliveries that came."""
        self.pair = pair
        self.connections = 0
        """TLS handshakes asked for."""
        service = peer_service(
            process_id,
            settle=lambda outcome: self.settled.append(outcome.decision_id),
            learn=lambda outcome: None,
            explain=lambda decision: b'{"decision": "%s"}' % decision.encode(),
            hear=self.heard.append,
        )
        deliver = service.methods["Deliver"]
        counted = Method(self._counted(deliver.handler), deliver.room, deliver.receiver)
        self._service = Service(service.name, {**service.methods, "Deliver": counted})

    def _counted(self, handler: Handler) -> Handler:
        async def count(stream: Stream) -> None:
            self.calls += 1
            await handler(stream)

        return count

    async def start(self, address: str) -> str:
        credentials = None
        if self.pair is not None:
            credentials = grpc.dynamic_ssl_server_credentials(self._configuration(), self._configuration)
            self.connections = 0
        self._server = GrpcioPort(credentials)
        self._server.add(self._service)
        port = await self._server.start(*split_address(address))
        return f"127.0.0.1:{port}"

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        assert self.pair is not None
        self.connections += 1
        return grpc.ssl_server_certificate_configuration([(self.pair.key, self.pair.certificate)])

    async def stop(self) -> None:
        await self._server.stop(None)


Start = Callable[..., Awaitable[str]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def started(peer: RunningPeer, at: str = "127.0.0.1:0") -> str:
            stack.push_async_callback(peer.stop)
            return await peer.start(at)

        yield started


@asynccontextmanager
async def met(*named: str, own: str = "") -> AsyncIterator[Peers]:
    """The peers of a process that itself serves `own`."""
    peers = Peers("me", named, Telemetry(), lambda: own, HELLO_INTERVAL_SECONDS)
    peers.start()
    try:
        yield peers
    finally:
        await peers.stop()


async def known(peers: Peers, address: str, process_id: str = "owner") -> None:
    async with asyncio.timeout(SECONDS_TO_NOTICE):
        while peers.process_ids().get(address) != process_id:
            await asyncio.sleep(0.01)


async def settled(peer: RunningPeer, *decisions: str) -> None:
    async with asyncio.timeout(SECONDS_TO_NOTICE):
        while peer.settled != list(decisions):
            await asyncio.sleep(0.01)


Refused = Callable[[str], Awaitable[None]]


@pytest.fixture
def refused(caplog: pytest.LogCaptureFixture) -> Refused:
    """Waits until greetings of an address have failed twice since it was last asked."""
    caplog.set_level(logging.DEBUG, "pilotage_extproc.settlement.peers")
    seen = 0

    async def twice(address: str) -> None:
        nonlocal seen
        until = seen + 2
        async with asyncio.timeout(SECONDS_TO_NOTICE):
            while (seen := sum(getattr(one, "peer", "") == address for one in caplog.records)) < until:
                await asyncio.sleep(0.01)

    return twice


def own_pair(name: str = "pilotage-extproc") -> Pair:
    return Pair(*self_signed(name))


async def test_a_peer_that_announces_no_certificate_is_met_in_plaintext(start: Start) -> None:
    peer = RunningPeer()
    address = await start(peer)
    async with met() as peers:
        peers.follow({address: ""})
        await known(peers, address)
        assert peers.deliver("owner", OUTCOME)
        await settled(peer, "owner-1")


async def test_outcomes_that_come_together_are_delivered_in_one_call_and_in_order(start: Start) -> None:
    peer = RunningPeer()
    address = await start(peer)
    async with met() as peers:
        peers.follow({address: ""})
        await known(peers, address)
        decisions = [f"owner-{number}" for number in range(100)]
        for number, decision in enumerate(decisions):
            peers.deliver("owner", replace(OUTCOME, decision_id=decision))
            if number % 10 == 0:
                await asyncio.sleep(0)
        await settled(peer, *decisions)
        assert peer.calls <= 3, "a delivery for each few outcomes"


async def test_a_peer_with_a_certificate_of_its_own_making_is_met_over_tls(start: Start) -> None:
    peer = RunningPeer(own_pair())
    address = await start(peer)
    async with met(own=own_pair().certificate.decode()) as peers:
        peers.follow({address: peer.pair.certificate.decode()})
        await known(peers, address)
        peers.deliver("owner", OUTCOME)
        await settled(peer, "owner-1")
        assert await peers.explain("owner-1") == b'{"decision": "owner-1"}'


@pytest.mark.parametrize(
    "names",
    [[dns("picker.test")], [dns("*.pickers.test"), dns("b.test")], [ip("10.1.2.3")], [ip("fd00::1")], []],
    ids=["name", "wildcard", "IPv4", "IPv6", "common name"],
)
async def test_an_issued_certificate_is_trusted_whatever_it_names(start: Start, names: list) -> None:
    peer = RunningPeer(Issuer().issue(*names, common_name="" if names else "picker"))
    address = await start(peer)
    async with met() as peers:
        peers.follow({address: peer.pair.certificate.decode()})
        await known(peers, address)


@pytest.mark.parametrize("stranger", ["self-signed", "same issuer", "plaintext"])
async def test_an_unauthorized_server_at_a_peers_address_gets_nothing(
    start: Start, refused: Refused, stranger: str
) -> None:
    issuer = Issuer()
    announced = issuer.issue(dns("picker.test"))
    pairs = {"self-signed": own_pair("picker.test"), "same issuer": issuer.issue(dns("picker.test"))}
    peer = RunningPeer(pairs.get(stranger))
    address = await start(peer)
    async with met() as peers:
        # the issuer's own certificate behind it, as files with a chain have, lets nobody else in
        peers.follow({address: (announced.certificate + issuer.certificate).decode()})
        await refused(address)
        assert peers.process_ids() == {address: None}
        assert not peers.deliver("owner", OUTCOME)
    assert peer.settled == []


async def test_a_peer_that_comes_back_with_another_certificate_gets_what_waited_for_it(
    start: Start,
) -> None:
    before = RunningPeer(own_pair())
    address = await start(before)
    async with met() as peers:
        peers.follow({address: before.pair.certificate.decode()})
        await known(peers, address)
        await before.stop()
        peers.deliver("owner", OUTCOME)
        after = RunningPeer(own_pair(), process_id="new life")
        await start(after, address)
        peers.follow({address: after.pair.certificate.decode()})
        await known(peers, address, "new life")
        await settled(after, "owner-1")


async def test_a_renewed_certificate_is_followed_while_the_peer_runs(start: Start) -> None:
    peer = RunningPeer(own_pair())
    address = await start(peer)
    own = peer.pair.certificate.decode()
    peers = Peers("me", (address,), Telemetry(), lambda: own, HELLO_INTERVAL_SECONDS)
    peers.start()
    try:
        await known(peers, address)
        peer.pair = own_pair("renewed.test")
        own = peer.pair.certificate.decode()
        async with asyncio.timeout(SECONDS_TO_NOTICE):
            while peer.connections < 2:
                await asyncio.sleep(0.01)
        peers.deliver("owner", OUTCOME)
        await settled(peer, "owner-1")
    finally:
        await peers.stop()


async def test_a_peer_begins_to_serve_tls_at_the_same_address(start: Start, refused: Refused) -> None:
    peer = RunningPeer(own_pair())
    address = await start(peer)
    async with met() as peers:
        peers.follow({address: ""})
        await refused(address)
        assert peers.process_ids() == {address: None}
        peers.follow({address: peer.pair.certificate.decode()})
        await known(peers, address)


async def test_named_peers_are_taken_to_hold_the_certificate_this_process_holds(
    start: Start, refused: Refused
) -> None:
    shared = Issuer().issue(dns("pickers.test"))
    peer = RunningPeer(shared)
    address = await start(peer)
    async with met(address, own=shared.certificate.decode()) as peers:
        await known(peers, address)
    async with met(address, own=own_pair().certificate.decode()) as peers:
        await refused(address)
        assert peers.process_ids() == {address: None}


async def test_what_a_peer_announces_wins_over_what_named_peers_are_taken_for(start: Start) -> None:
    peer = RunningPeer(own_pair())
    address = await start(peer)
    async with met(address, own=own_pair().certificate.decode()) as peers:
        peers.follow({address: peer.pair.certificate.decode()})
        await known(peers, address)


async def test_a_certificate_that_cannot_be_used_is_logged_once_and_never_means_plaintext(
    start: Start, refused: Refused, caplog: pytest.LogCaptureFixture
) -> None:
    peer = RunningPeer()
    address = await start(peer)
    async with met() as peers:
        peers.follow({address: own_pair().certificate.decode()[:200]})
        await refused(address)
        await refused(address)
        assert peers.process_ids() == {address: None}
        peers.deliver("owner", OUTCOME)
    assert peer.settled == []
    [told] = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert told.startswith(f"the certificate of peer {address} cannot be used: it cannot be read")


@pytest.mark.parametrize(
    "common_name", ["", "picker"], ids=["no other name", "a name that gRPC does not read"]
)
def test_a_certificate_that_names_nobody_is_refused(common_name: str) -> None:
    pair = Issuer().issue(uri("spiffe://cluster/picker"), common_name=common_name)
    with pytest.raises(CertificateFault, match="names nobody"):
        PeerLink("127.0.0.1:1", pair.certificate.decode())


async def test_news_reach_all_others_or_the_one_they_are_for(start):
    owner, other = RunningPeer(), RunningPeer(process_id="other")
    addresses = [await start(owner), await start(other)]
    async with met(*addresses) as peers:
        await known(peers, addresses[0])
        await known(peers, addresses[1], "other")
        peers.tell(BreakerNews("default/p", "m", 5.0))
        assert peers.tell_owner("other", EjectionNews("10.0.0.1:80", 1.0))
        assert not peers.tell_owner("gone", EjectionNews("10.0.0.1:80", 1.0))
        async with asyncio.timeout(SECONDS_TO_NOTICE):
            while len(owner.heard) + len(other.heard) < 3:
                await asyncio.sleep(0.01)
    assert owner.heard == [BreakerNews("default/p", "m", 5.0)]
    assert other.heard == [BreakerNews("default/p", "m", 5.0), EjectionNews("10.0.0.1:80", 1.0)]


@pytest.mark.parametrize("leaves", [False, True])
async def test_what_waits_for_a_peer_that_is_gone_may_be_settled_here_once(start, leaves):
    peer = RunningPeer()
    address = await start(peer)
    offered: list[str] = []
    peers = Peers(
        "self",
        () if leaves else (address,),
        Telemetry(),
        lambda: "",
        HELLO_INTERVAL_SECONDS,
        undelivered=lambda outcome: offered.append(outcome.decision_id),
    )
    peers.start()
    if leaves:
        peers.follow({address: ""})
    await known(peers, address)
    await peer.stop()
    assert peers.deliver("owner", OUTCOME)
    if leaves:
        peers.follow({})
    async with asyncio.timeout(SECONDS_TO_NOTICE):
        while offered != ["owner-1"]:
            await asyncio.sleep(0.01)
    if not leaves:
        await asyncio.sleep(3 * HELLO_INTERVAL_SECONDS)
        assert peers.deliver("owner", replace(OUTCOME, decision_id="owner-2"))
    await peers.stop()
    assert offered == (["owner-1"] if leaves else ["owner-1", "owner-2"])
