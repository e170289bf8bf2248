"""Writing statuses, then their Events: beside publishing, never before it, each only where it differs."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from pilotage_api.findings import ResourceKey
from pilotage_kube.backoff import Backoff
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import Time
from pilotage_kube.errors import Conflict, Invalid, KubeError, NotFound
from pilotage_kube.resource import ResourceType
from pilotage_operator.event_writer import EventWriter, Subject
from pilotage_operator.plan import Status, StatusWrite
from pilotage_operator.resource_revision import OUR_TYPES, Stored

log = logging.getLogger(__name__)

_TYPES: Final[dict[str, ResourceType]] = {one.kind: one for one in OUR_TYPES}
_AT_ONCE: Final = 8


@dataclass(slots=True, frozen=True)
class _Written:
    """A write that succeeded, until the informer has seen it and beyond."""

    uid: str
    after: str
    """The resource version it made."""
    asked: Status
    answered: Status
    """What the API server made of it: a CRD of another version may lack a field."""
    lost: bool
    """Whether that is not what was asked."""
    at: float
    """When, by the clock."""


class StatusWriter:
    """Writes the statuses of the newest plan; `run` it as a task.

    A plan replaces what an earlier one left to do, so that a slow API server never makes a queue.
    """

    def __init__(
        self, client: ApiClient, *, events: EventWriter, on_trouble: Callable[[], None], clock: Time
    ) -> None:
        """`on_trouble` asks for another plan: something could not be written, or has changed meanwhile."""
        self._client = client
        self._events = events
        self._on_trouble = on_trouble
        self._clock = clock
        self._pending: dict[ResourceKey, StatusWrite] = {}
        self._in_flight: set[ResourceKey] = set()
        self._written: dict[ResourceKey, _Written] = {}
        self._work = asyncio.Event()
        self.writes = 0
        """Statuses written."""
        self.failures = 0

    @property
    def pending(self) -> int:
        """Statuses yet to be written."""
        return len(self._pending) + len(self._in_flight)

    def as_written(self, stored: Stored) -> Stored:
        """A resource with the status that this process wrote, where its informer has not seen that yet."""
        written = self._written.get(stored.key)
        if written is None or written.uid != stored.form.uid:
            return stored
        unseen = _older(stored.resource_version, written.after)
        if unseen or (written.lost and stored.status == written.answered):
            return replace(stored, status=written.asked)
        return stored

    def is_own_echo(self, stored: Stored) -> bool:
        """Whether a change of a resource is only what this process wrote."""
        written = self._written.get(stored.key)
        return written is not None and stored.resource_version == written.after

    def written_at(self, stored: Stored) -> float | None:
        """When this process last wrote the status of this resource, by the clock; None where it did not."""
        written = self._written.get(stored.key)
        return written.at if written is not None and written.uid == stored.form.uid else None

    def submit(self, writes: Iterable[StatusWrite], known: Iterable[ResourceKey]) -> None:
        """Write these, instead of whatever was still to do; `known` are all resources there are."""
        self._pending = {one.key: one for one in writes}
        there = set(known)
        for key in [key for key in self._written if key not in there]:
            del self._written[key]
        self._work.set()

    async def run(self) -> NoReturn:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(_AT_ONCE):
                tasks.create_task(self._write_on(), name=f"status writer {number}")
        raise AssertionError

    async def _write_on(self) -> NoReturn:
        backoff = Backoff(limit_seconds=5.0)
        while True:
            key = next((key for key in self._pending if key not in self._in_flight), None)
            if key is None:
                self._work.clear()
                await self._work.wait()
                continue
            write = self._pending.pop(key)
            self._in_flight.add(key)
            try:
                await self._write(write)
                backoff.reset()
            except (NotFound, Conflict, Invalid) as error:
                # the resource is gone or is another one now; the next plan knows
                self.failures += 1
                log.info("status of %s not written: %s", key, error)
                await self._clock.sleep(backoff.delay())
                self._on_trouble()
            except KubeError as error:
                self.failures += 1
                log.warning("cannot write the status of %s: %s", key, error)
                await self._clock.sleep(backoff.delay(getattr(error, "retry_after_seconds", 0.0)))
                self._on_trouble()
            finally:
                self._in_flight.discard(key)
                self._work.set()

    async def _write(self, write: StatusWrite) -> None:
        stored, resource = write.stored, _TYPES[write.key.kind]
        already = self._written.get(write.key)
        if (
            already is not None
            and already.uid == stored.form.uid
            and already.asked == write.status
            and _older(stored.resource_version, already.after)
        ):
            # written while this plan was made
            return
        answer = await self._client.merge(
            resource, stored.form.name, write.patch(), stored.form.namespace, subresource="status"
        )
        self.writes += 1
        after, answered = str(answer["metadata"].get("resourceVersion", "")), answer.get("status") or {}
        self._written[write.key] = _Written(
            stored.form.uid, after, write.status, answered, answered != write.status, self._clock()
        )
        for told in write.events:
            # best effort: the status has said it already
            await self._events.tell(_subject(stored), told)


def _subject(stored: Stored) -> Subject:
    form = stored.form
    return Subject(_TYPES[form.kind].api_version, form.kind, form.namespace, form.name, form.uid)


def _older(one: str, other: str) -> bool:
    """Resource versions of one type are decimal and grow: Kubernetes says so since 1.35, etcd always did."""
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)
