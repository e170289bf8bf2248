"""Peer processes behind the same Envoy: who they are, and handing them what is theirs.

A small gRPC service of unary calls with JSON bodies, on the same port as ext_proc: `Hello` (who are
you), `Deliver` (outcomes you own, or response ids to learn), `Tell` (attempts that failed, breakers that
opened or closed) and `Explain` (a decision you hold). Delivery of outcomes is batched, bounded and retried;
what cannot be delivered is counted and heals at its owner like any completion that is never seen.

Where a peer serves TLS it is spoken to by TLS, and only if it holds the very certificate that was
announced for it. Who may call is the port's matter (`transport/proven.py`): with mutual TLS those alone whose
certificate is a picker's, else whoever reaches it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import grpc
import orjson

from pilotage_api.address import canonical_place
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.settlement.link import SERVICE, CertificateFault, OwnCertificate, PeerLink
from pilotage_extproc.settlement.news import News, decode_news, encode_news
from pilotage_extproc.settlement.wire import decode_outcomes, encode_outcomes
from pilotage_extproc.telemetry.metrics import Telemetry
from pilotage_extproc.transport.contract import CallRefused, Service, Status, unary

log = logging.getLogger(__name__)

MAX_PEERS = 64
"""Peers past this are not connected: each costs a connection and a call a second."""
_QUEUE_LENGTH = 10_000
_BATCH_LENGTH = 500
GATHER_SECONDS = 0.005
"""From the first outcome to its call, which takes all that came meanwhile: calls cost, not outcomes."""
_NEWS_LENGTH = 1000
HELLO_INTERVAL_SECONDS = 1.0
_GONE_AFTER = 2
"""Calls in turn without an answer, after which others may settle what waits for a peer."""


class Peer:
    """One peer, by address; its process id is known once it has answered.

    `certificate` says which certificate it serves now, PEM, or that it serves plaintext (empty). It is
    asked before each call of `Hello`, so a renewed one is followed within two intervals. So is `shown`, the
    certificate that this process shows where the connection is TLS.
    """

    def __init__(
        self,
        address: str,
        telemetry: Telemetry,
        certificate: Callable[[], str],
        shown: Callable[[], OwnCertificate | None],
        hello_interval_seconds: float,
        undelivered: Callable[[Outcome], None],
    ) -> None:
        self.address = address
        self._undelivered = undelivered
        self._fails = 0
        """Calls in turn that it has not answered."""
        self.process_id: str | None = None
        self._telemetry = telemetry
        self._certificate = certificate
        self._shown = shown
        self._hello_interval_seconds = hello_interval_seconds
        self._refused: str | None = None
        self._link: PeerLink | None = None
        self._owned: deque[Outcome] = deque()
        self._propagated: deque[Outcome] = deque()
        self._news: deque[News] = deque()
        self._wake = asyncio.Event()

    def push(self, outcome: Outcome, *, owned: bool) -> None:
        """Queue an outcome; past the bound the oldest is dropped and counted."""
        queue = self._owned if owned else self._propagated
        if len(queue) >= _QUEUE_LENGTH:
            queue.popleft()
            self._telemetry.peer_drops.add()
        queue.append(outcome)
        self._wake.set()
        if owned and self._fails >= _GONE_AFTER:
            self._undelivered(outcome)

    def tell(self, news: News) -> None:
        """Queue news; past the bound the oldest is dropped: it is about the moment."""
        if len(self._news) >= _NEWS_LENGTH:
            self._news.popleft()
        self._news.append(news)
        self._wake.set()

    async def run(self) -> None:
        """Connect to the peer until it answers, call it again now and then; deliver as outcomes arrive."""
        while True:
            try:
                link = await self._connect()
                self.process_id = str(orjson.loads(await link.hello())["process"])
                self._fails = 0
                await self._deliver_until_hello(link)
            except (grpc.aio.AioRpcError, ValueError, TypeError, KeyError) as error:
                log.debug("peer not reachable", extra={"peer": self.address, "error": str(error)})
                self._fails += 1
                if self._fails == _GONE_AFTER:
                    self._offer()
                await asyncio.sleep(self._hello_interval_seconds)

    async def _connect(self) -> PeerLink:
        """The connection that trusts what the peer serves now. Raises CertificateFault."""
        wanted, own, before = self._certificate(), self._shown(), self._link
        if before is not None and before.certificate == wanted and before.own == own:
            return before
        try:
            link = self._link = PeerLink(self.address, wanted, own)
        except CertificateFault as error:
            if self._refused != wanted:
                self._refused = wanted
                log.warning("the certificate of peer %s cannot be used: %s", self.address, error)
            raise
        if before is not None:
            await before.close()
        return link

    async def _deliver_until_hello(self, link: PeerLink) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._hello_interval_seconds
        while (left := until - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()
            if self._wake.is_set():
                await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            for queue, kind in ((self._owned, "owned"), (self._propagated, "propagated")):
                while queue:
                    batch = [queue.popleft() for _ in range(min(len(queue), _BATCH_LENGTH))]
                    try:
                        await _send(link, batch, kind)
                    except (
                        BaseException
                    ):  # cut off by leaving, too: sent twice is harmless, not at all is not
                        queue.extendleft(reversed(batch))
                        raise
            if self._news:
                news = list(self._news)
                self._news.clear()  # what is not delivered now would be old when it is
                await link.tell(encode_news(news))

    def _offer(self) -> None:
        """It may be gone: what waits for it can be settled by others, where money is counted for all.

        It gets all the same what it can take later; the second to settle a request changes nothing.
        """
        for outcome in self._owned:
            self._undelivered(outcome)

    async def explain(self, decision_id: str) -> bytes | None:
        """The explanation of a decision this peer holds, or None when it has none or cannot be asked."""
        if self._link is None:
            return None
        try:
            return await self._link.explain(decision_id) or None
        except grpc.aio.AioRpcError:
            return None

    async def close(self) -> None:
        """Deliver what is left, once, and close."""
        if self._link is None:
            return
        with contextlib.suppress(grpc.aio.AioRpcError):
            if self._owned and self.process_id is not None:
                await _send(self._link, list(self._owned), "owned")
                self._owned.clear()
        if self._fails < _GONE_AFTER:
            self._offer()
        await self._link.close()


async def _send(link: PeerLink, batch: list[Outcome], kind: str) -> None:
    await link.deliver(encode_outcomes(batch), (("x-pilotage-kind", kind),))


class Peers:
    """All peers of this process: those that settings name, and those that come and go.

    Those that settings name are taken to serve what this process serves: `own_certificate`, PEM, or
    plaintext where that is empty. `shown` is what this process proves to them who it is with.
    """

    def __init__(
        self,
        process_id: str,
        addresses: tuple[str, ...],
        telemetry: Telemetry,
        own_certificate: Callable[[], str],
        hello_interval_seconds: float = HELLO_INTERVAL_SECONDS,
        shown: Callable[[], OwnCertificate | None] = lambda: None,
        undelivered: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """`undelivered` gets outcomes whose owner is gone."""
        self._undelivered = undelivered
        self._process_id = process_id
        self._own_certificate = own_certificate
        self._shown = shown
        self._hello_interval_seconds = hello_interval_seconds
        self._announced: Mapping[str, str] = {}
        self._telemetry = telemetry
        self._named = self._wanted = tuple(dict.fromkeys(map(canonical_place, addresses)))
        self._peers: dict[str, Peer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._running = False

    def start(self) -> None:
        """Begin to connect and deliver."""
        self._running = True
        self._meet()

    def follow(self, certificates: Mapping[str, str]) -> None:
        """The peers that are there now, besides those that settings name: certificate by `HOST:PORT`.

        An empty certificate is one that serves plaintext. What is queued for one that has left is still
        sent there, once.
        """
        self._announced = {canonical_place(address): pem for address, pem in certificates.items()}
        self._wanted = tuple(dict.fromkeys((*self._named, *self._announced)))[:MAX_PEERS]
        if self._running:
            self._meet()

    def _meet(self) -> None:
        for address in self._peers.keys() - set(self._wanted):
            leaving = asyncio.create_task(self._part(address), name=f"peer {address} leaves")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        for address in self._wanted:
            if address not in self._peers:
                certificate = partial(self._certificate_of, address)
                interval = self._hello_interval_seconds
                peer = Peer(address, self._telemetry, certificate, self._shown, interval, self._undelivered)
                self._peers[address] = peer
                self._tasks[address] = asyncio.create_task(peer.run(), name=f"peer {address}")

    def _certificate_of(self, address: str) -> str:
        announced = self._announced.get(address)
        return self._own_certificate() if announced is None else announced

    def _part(self, address: str) -> Coroutine[Any, Any, None]:
        peer, task = self._peers.pop(address), self._tasks.pop(address)

        task.cancel()

        async def end() -> None:
            await asyncio.gather(task, return_exceptions=True)
            await peer.close()

        return end()

    async def stop(self) -> None:
        """Deliver what is queued and stop."""
        self._running = False
        self._wanted = ()
        self._meet()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def deliver(self, owner: str, outcome: Outcome) -> bool:
        """Queue an outcome for its owner; False when no peer is that process."""
        for peer in self._peers.values():
            if peer.process_id == owner:
                peer.push(outcome, owned=True)
                return True
        return False

    def propagate(self, outcome: Outcome) -> None:
        """Queue the place of a stored response for all others."""
        for peer in self._peers.values():
            if peer.process_id != self._process_id:
                peer.push(outcome, owned=False)

    def tell(self, news: News) -> None:
        """Tell all others."""
        for peer in self._peers.values():
            if peer.process_id != self._process_id:
                peer.tell(news)

    def tell_owner(self, owner: str, news: News) -> bool:
        """Tell one process; False when no peer is that process."""
        for peer in self._peers.values():
            if peer.process_id == owner:
                peer.tell(news)
                return True
        return False

    def pickers(self) -> int:
        """Processes that decide: this one, and the others that have answered."""
        others = {peer.process_id for peer in self._peers.values()} - {None, self._process_id}
        return 1 + len(others)

    def process_ids(self) -> dict[str, str | None]:
        """Process id by address; None where a peer has not answered yet."""
        return {peer.address: peer.process_id for peer in self._peers.values()}

    async def explain(self, decision_id: str) -> bytes | None:
        """Ask the process that holds a decision for its explanation (JSON)."""
        owner = decision_id.rpartition("-")[0]
        for peer in list(self._peers.values()):
            if peer.process_id == owner and owner != self._process_id:
                return await peer.explain(decision_id)
        return None


def peer_service(
    process_id: str,
    *,
    settle: Callable[[Outcome], None],
    learn: Callable[[Outcome], None],
    explain: Callable[[str], bytes | None],
    hear: Callable[[News], None] = lambda _news: None,
) -> Service:
    """The service that peers call."""

    def hello(_request: bytes, _metadata: object) -> bytes:
        return orjson.dumps({"process": process_id})

    def deliver(request: bytes, metadata: Mapping[str, str]) -> bytes:
        try:
            outcomes = decode_outcomes(request)
        except ValueError as error:
            raise CallRefused(Status.INVALID_ARGUMENT, str(error)) from None
        kind = metadata.get("x-pilotage-kind")
        for outcome in outcomes:
            if kind == "owned":
                settle(outcome)
            else:
                learn(outcome)
        return b"{}"

    def told(request: bytes, _metadata: object) -> bytes:
        try:
            batch = decode_news(request)
        except ValueError as error:
            raise CallRefused(Status.INVALID_ARGUMENT, str(error)) from None
        for news in batch:
            hear(news)
        return b"{}"

    def explained(request: bytes, _metadata: object) -> bytes:
        return explain(request.decode("ascii", "replace")) or b""

    methods = {"Hello": hello, "Deliver": deliver, "Explain": explained, "Tell": told}
    return Service(SERVICE, {name: unary(method) for name, method in methods.items()})
