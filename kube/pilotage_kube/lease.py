"""One active process by a `coordination.k8s.io` Lease.

The holder counts its hold from the moment it *sent* a renewal that succeeded, others from the moment they
*saw* it, and the holder gives up `duration - renew_deadline` earlier than others may take over. So at any
skew of their clocks no two processes believe to lead, as long as clocks run at about one speed and work
stops within that margin when it is cancelled.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from pilotage_kube.clock import SystemTime, Time, within
from pilotage_kube.errors import AlreadyExists, Conflict, KubeError, NotFound
from pilotage_kube.lease_record import LeaseRecord, LeaseWatch, timestamp
from pilotage_kube.resource import LEASES, ResourceType

log = logging.getLogger(__name__)


class LeadershipLost(KubeError):
    """The Lease could not be renewed in time, or another has it: stop acting as the leader."""


class LeaseApi(Protocol):
    """What of `ApiClient` an election needs."""

    async def get(self, resource: ResourceType, name: str, namespace: str | None = None) -> dict[str, Any]:
        """One object."""
        ...

    async def create(
        self, resource: ResourceType, body: dict[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        """A new object."""
        ...

    async def replace(
        self, resource: ResourceType, body: dict[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        """Write an object whole."""
        ...


@dataclass(slots=True, frozen=True)
class LeaseTiming:
    """How long a hold lasts. A crashed holder is followed after `duration` and up to one `retry`."""

    duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    """A holder that could not renew for this long stops."""
    retry_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_seconds < self.renew_deadline_seconds < self.duration_seconds:
            raise ValueError("a Lease needs retry_seconds < renew_deadline_seconds < duration_seconds")


def unique_identity(name: str) -> str:
    """A holder's name that no other living process has: two of one name would both believe to lead."""
    return f"{name}_{secrets.token_hex(4)}"


class LeaderElection:
    """Competes for one Lease."""

    def __init__(
        self,
        client: LeaseApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: LeaseTiming | None = None,
        clock: Time | None = None,
        on_leader: Callable[[str], None] | None = None,
    ) -> None:
        self.identity = identity
        self._client = client
        self._namespace = namespace
        self._name = name
        self._timing = timing or LeaseTiming()
        self._clock: Time = clock or SystemTime()
        self._on_leader = on_leader
        self._watch = LeaseWatch()
        self._lease: dict[str, Any] | None = None
        self._leads_until: float | None = None
        self._chance = random.Random()  # noqa: S311 - spreads load, guards nothing

    @property
    def leading(self) -> bool:
        """Whether this process may act now; asks the clock, so a process that was frozen learns at once."""
        return self._leads_until is not None and self._clock() < self._leads_until

    @property
    def leader(self) -> str:
        """Who held the Lease when last seen; empty for nobody."""
        return self._watch.record.holder

    async def lead(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the Lease, run `work`, give the Lease back when it returns or fails.

        Once the Lease is lost `work` is cancelled and, when it has ended, LeadershipLost is raised: end the
        process, or call this again. Work must end within `duration - renew_deadline` of being cancelled.
        """
        await self.acquire()
        working = asyncio.create_task(work(), name=f"leads {self._name}")
        keeping = asyncio.create_task(self.keep(), name=f"keeps {self._name}")
        try:
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
            lost = keeping.exception() if keeping.done() else None
            if lost is not None and not working.done():
                raise lost
            await working
        finally:
            for task in (working, keeping):
                task.cancel()
            await asyncio.gather(working, keeping, return_exceptions=True)
            await self.release()

    async def acquire(self) -> None:
        """Return once this process holds the Lease; waits out API servers that do not answer."""
        while not await self._try_acquire():
            await self._clock.sleep(self._timing.retry_seconds * self._chance.uniform(0.8, 1.2))
        log.info("leading by lease %s/%s as %s", self._namespace, self._name, self.identity)

    async def keep(self) -> NoReturn:
        """Renew for as long as it works. Raises LeadershipLost."""
        try:
            while True:
                await self._clock.sleep(min(self._timing.retry_seconds, max(0.0, self._left())))
                await self._renew()
                if not self.leading:
                    raise LeadershipLost(
                        f"lease {self._namespace}/{self._name} was not renewed for "
                        f"{self._timing.renew_deadline_seconds:g} s"
                    )
        except LeadershipLost as error:
            self._leads_until = None
            log.warning("no longer leading: %s", error)
            raise

    async def release(self) -> None:
        """Give the Lease back, so that another need not wait; where that fails it runs out by itself."""
        if not self.leading or self._lease is None:
            self._leads_until = None
            return
        self._leads_until = None
        record = LeaseRecord("", 1, "", timestamp(), self._watch.record.transitions)
        spec = {key: value for key, value in record.spec().items() if value != ""}
        try:
            await within(self._clock, self._timing.retry_seconds, self._replace(spec))
        except (KubeError, TimeoutError) as error:
            log.info("lease %s/%s not given back: %s", self._namespace, self._name, error)

    def _left(self) -> float:
        return 0.0 if self._leads_until is None else self._leads_until - self._clock()

    async def _try_acquire(self) -> bool:
        limit = self._timing.renew_deadline_seconds / 2
        try:
            return await within(self._clock, limit, self._take_if_free())
        except (KubeError, TimeoutError) as error:
            log.warning("cannot compete for lease %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _take_if_free(self) -> bool:
        try:
            self._see(await self._client.get(LEASES, self._name, self._namespace))
        except NotFound:
            self._lease = None
        began = self._clock()
        now = timestamp()
        try:
            if self._lease is None:
                record = LeaseRecord(self.identity, self._timing.duration_seconds, now, now, 0)
                body = LEASES.object(self._name, self._namespace, spec=record.spec())
                self._see(await self._client.create(LEASES, body, self._namespace))
            elif self._watch.free(began) or self._watch.record.holder == self.identity:
                # held by this identity: a write of ours whose answer was lost, or our own former life
                times = self._watch.record.transitions + (self._watch.record.holder != self.identity)
                record = LeaseRecord(self.identity, self._timing.duration_seconds, now, now, times)
                await self._replace(record.spec())
            else:
                return False
        except (AlreadyExists, Conflict):
            return False
        self._leads_until = began + self._timing.renew_deadline_seconds
        return True

    async def _renew(self) -> None:
        """Try once, within what is left; a failure is not yet a loss."""
        began = self._clock()
        try:
            await within(self._clock, max(0.0, self._left()), self._renew_once())
        except NotFound:
            raise LeadershipLost(f"lease {self._namespace}/{self._name} was deleted") from None
        except LeadershipLost:
            raise
        except (KubeError, TimeoutError) as error:
            log.warning("cannot renew lease %s/%s: %s", self._namespace, self._name, error)
            return
        self._leads_until = began + self._timing.renew_deadline_seconds

    async def _renew_once(self) -> None:
        held = self._watch.record
        spec = LeaseRecord(
            self.identity, self._timing.duration_seconds, held.acquired_at, timestamp(), held.transitions
        ).spec()
        try:
            await self._replace(spec)
        except Conflict:
            # someone changed it: another holder, or this process by a write whose answer was lost
            self._see(await self._client.get(LEASES, self._name, self._namespace))
            if self._watch.record.holder != self.identity:
                raise LeadershipLost(f"{self._watch.record.holder or 'nobody'} holds the lease") from None
            await self._replace(spec)

    async def _replace(self, spec: dict[str, Any]) -> None:
        assert self._lease is not None
        self._see(await self._client.replace(LEASES, {**self._lease, "spec": spec}, self._namespace))

    def _see(self, lease: dict[str, Any]) -> None:
        self._lease = lease
        before = self._watch.record.holder
        self._watch.observe(LeaseRecord.of(lease), self._clock())
        if self._on_leader is not None and self._watch.record.holder != before:
            self._on_leader(self._watch.record.holder)
