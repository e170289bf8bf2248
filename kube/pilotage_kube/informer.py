"""An informer: what the API server holds of one resource type, kept current in memory.

It lists once, page by page, and then watches. Whatever breaks the watch (its timeout, a cut, a restarted
server) it resumes from the last version it saw; where that version is too old (410) it lists again and
compares the whole list with what it holds, so that deletions during a cut are found. Objects stay while it
lists and while nothing answers: only a list or an event that says so removes one.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Generic, NoReturn, TypeVar

from pilotage_kube.backoff import Backoff
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import SystemTime, Time
from pilotage_kube.errors import ApiError, Gone, InvalidResponse, KubeError, NotFound, ServerError
from pilotage_kube.resource import ObjectKey, ResourceType
from pilotage_kube.turns import Turns
from pilotage_kube.wire import Decode, ObjectMeta, WatchEvent, object_meta

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_BROKEN_WATCHES = 3
"""In a row, from one version, by an error of the server: then it lists again."""
_HEALTHY_SECONDS = 2.0
"""A watch that lasted this long has worked: the next failure is a new one."""


class ChangeKind(StrEnum):
    """What became of an object."""

    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(slots=True, frozen=True)
class Change(Generic[T]):
    """One change of one object, as a handler hears of it."""

    kind: ChangeKind
    key: ObjectKey
    value: T
    """What is kept of the object; for a deletion, what was kept last."""
    old: T | None = None
    """What was kept before a change."""


@dataclass(slots=True, frozen=True)
class InformerOptions:
    """How an informer lists and watches."""

    page_size: int = 250
    """Objects a request. Cutting a page of 5.6 KB pods into items holds the event loop for 4 µs a pod."""
    watch_seconds: int = 300
    """After this long (up to half more, by chance) the server is to end a watch."""
    idle_seconds: float = 100.0
    """A watch without a byte for this long counts as cut."""
    first_delay_seconds: float = 0.05
    longest_delay_seconds: float = 5.0
    absent_after_seconds: float = 3.0
    """How long 404 must last before a type counts as not installed: a starting server says it falsely."""
    absent_poll_seconds: float = 5.0
    """How often to look whether it is installed meanwhile."""


@dataclass(slots=True)
class InformerCounts:
    """What an informer has done, for metrics."""

    lists: int = 0
    """Lists completed."""
    watches: int = 0
    """Watches begun."""
    events: int = 0
    """Watch events read, without bookmarks."""
    failures: int = 0
    """Lists and watches that broke."""
    unreadable: int = 0
    """Objects that could not be decoded; their last good form was kept."""


@dataclass(slots=True, frozen=True)
class _Held(Generic[T]):
    uid: str
    resource_version: str
    value: T


class Informer(Generic[T]):
    """Follows one resource type, perhaps in one namespace and by selectors; `run` it as a task.

    `decode` makes what is kept of an object from its JSON (`wire.typed`, `wire.whole_object`, or your own).
    `on_change` is called for every change, from the event loop and in order for each object. A change that
    leaves the kept value equal is not reported. An object deleted and made again between two looks is
    reported as deleted and added.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: ResourceType,
        decode: Decode[T],
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        on_change: Callable[[Change[T]], None] | None = None,
        options: InformerOptions | None = None,
        clock: Time | None = None,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.counts = InformerCounts()
        self.absent = False
        """The API server does not know this resource type (its CRD is not installed)."""
        self.problem: str | None = None
        """Why the view may be old, for people; None while a watch is open."""
        self.error: Exception | None = None
        """The same, for programs."""
        self._client = client
        self._decode = decode
        self._selectors: Final = {"labels": labels, "fields": fields}
        self._on_change = on_change
        self._options = options or InformerOptions()
        self._clock: Time = clock or SystemTime()
        self._held: dict[ObjectKey, _Held[T]] = {}
        self._values: dict[ObjectKey, T] = {}
        self._synced = asyncio.Event()
        self._version = ""
        self._broken_watches = 0
        self._absent_since: float | None = None
        self._current_at: float | None = None
        self._chance = random.Random()  # noqa: S311 - spreads load, guards nothing

    @property
    def store(self) -> Mapping[ObjectKey, T]:
        """What is held now; a live view."""
        return MappingProxyType(self._values)

    @property
    def synced(self) -> bool:
        """Whether a whole list has been seen once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once a whole list has been seen, or the resource type is known to be absent."""
        await self._synced.wait()

    def age_seconds(self) -> float | None:
        """How old the view may be: 0 while a watch is open, None before the first list."""
        if self._current_at is None:
            return None
        return 0.0 if self.problem is None else self._clock() - self._current_at

    async def run(self) -> NoReturn:
        """Follow until cancelled; whatever the server does, it goes on."""
        backoff = Backoff(self._options.first_delay_seconds, self._options.longest_delay_seconds)
        while True:
            began = self._clock()
            at_least = 0.0
            try:
                if not self._version:
                    await self._list()
                    began = self._clock()
                await self._watch()
                if self._clock() - began >= _HEALTHY_SECONDS:
                    backoff.reset()
                    continue
            except Gone as error:
                self._version = ""
                self._note(error)
            except NotFound as error:
                self._version = ""
                self._note(error)
                if await self._maybe_absent():
                    at_least = self._options.absent_poll_seconds
            except KubeError as error:
                if isinstance(error, ServerError) and self.problem is None:
                    self._end_of_watch_that_opened()
                self._note(error)
                at_least = error.retry_after_seconds if isinstance(error, ApiError) else 0.0
            except Exception as error:
                log.exception("informer of %s failed", self.resource.plural)
                self._version = ""
                self._note(error)
            if self._clock() - began >= _HEALTHY_SECONDS:
                backoff.reset()
            await self._clock.sleep(backoff.delay(at_least))

    def _end_of_watch_that_opened(self) -> None:
        """A version from which the server cannot watch, but does not call gone, would fail for ever."""
        self._broken_watches += 1
        if self._broken_watches >= _MOST_BROKEN_WATCHES:
            self._version = ""

    def _note(self, error: Exception) -> None:
        if self.problem is None and self.synced:
            log.info("watch of %s broke: %s", self.resource.plural, error)
        elif not self.synced and self.problem != str(error):
            # a resource type that is not installed is no trouble
            level = logging.INFO if isinstance(error, NotFound) else logging.WARNING
            log.log(level, "cannot list %s: %s", self.resource.plural, error)
        if self.problem is None:
            self._current_at = self._clock() if self.synced else None
        self.problem, self.error = str(error), error
        self.counts.failures += 1

    async def _list(self) -> None:
        found: dict[ObjectKey, _Held[T]] = {}
        turns = Turns()
        more = ""
        while True:
            page = await self._client.page(
                self.resource,
                self.namespace,
                limit=self._options.page_size,
                more=more,
                labels=self._selectors["labels"],
                fields=self._selectors["fields"],
            )
            for item in page.items or ():
                meta = object_meta(memoryview(item))
                key = ObjectKey(meta.namespace, meta.name)
                kept = self._keep(key, meta, memoryview(item))
                if kept is not None:
                    found[key] = kept
                await turns.give()
            more = page.metadata.more
            if not more:
                break
        if not page.metadata.resource_version:
            raise InvalidResponse(f"a list of {self.resource.plural} without a resourceVersion")
        await self._take(found, turns)
        self._version = page.metadata.resource_version
        self._broken_watches = 0
        self.absent, self._absent_since = False, None
        self.counts.lists += 1
        self._current_at = self._clock()
        self._synced.set()

    async def _take(self, found: Mapping[ObjectKey, _Held[T]], turns: Turns) -> None:
        """Become what a whole list says: additions first, so that no moment has fewer objects than before."""
        for key, kept in found.items():
            self._put(key, kept)
            await turns.give()
        for key in [key for key in self._held if key not in found]:
            self._remove(key)
            await turns.give()

    async def _watch(self) -> None:
        self.counts.watches += 1
        turns = Turns()
        seconds = self._options.watch_seconds
        events = self._client.watch(
            self.resource,
            self.namespace,
            resource_version=self._version,
            timeout_seconds=seconds + self._chance.randrange(1 + seconds // 2),
            idle_seconds=self._options.idle_seconds,
            labels=self._selectors["labels"],
            fields=self._selectors["fields"],
            on_open=self._opened,
        )
        async with aclosing(events) as opened:
            async for event in opened:
                self._event(event)
                await turns.give()
        self._current_at = self._clock()

    def _opened(self) -> None:
        self.problem = self.error = None

    def _event(self, event: WatchEvent) -> None:
        self._broken_watches = 0
        raw = memoryview(event.object)
        meta = object_meta(raw)
        if event.type != "BOOKMARK":
            self.counts.events += 1
            key = ObjectKey(meta.namespace, meta.name)
            if event.type == "DELETED":
                self._remove(key)
            elif (kept := self._keep(key, meta, raw)) is not None:
                self._put(key, kept)
        self._version = meta.resourceVersion or self._version

    def _keep(self, key: ObjectKey, meta: ObjectMeta, raw: memoryview) -> _Held[T] | None:
        """What to hold of an object: its last good form, or None, where it cannot be decoded."""
        held = self._held.get(key)
        if held is not None and held.uid == meta.uid and held.resource_version == meta.resourceVersion:
            return held
        try:
            return _Held(meta.uid, meta.resourceVersion, self._decode(raw))
        except Exception as error:  # noqa: BLE001 - decoders are the user's
            self.counts.unreadable += 1
            log.warning("cannot read %s %s: %s", self.resource.plural, key, error)
            return held

    def _put(self, key: ObjectKey, kept: _Held[T]) -> None:
        held = self._held.get(key)
        if held is kept:
            return
        if held is not None and held.uid != kept.uid:
            self._remove(key)
            held = None
        self._held[key] = kept
        self._values[key] = kept.value
        if held is None:
            self._tell(Change(ChangeKind.ADDED, key, kept.value))
        elif held.value != kept.value:
            self._tell(Change(ChangeKind.CHANGED, key, kept.value, held.value))

    def _remove(self, key: ObjectKey) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            del self._values[key]
            self._tell(Change(ChangeKind.DELETED, key, held.value, held.value))

    def _tell(self, change: Change[T]) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(change)
        except Exception:
            log.exception("a handler failed on %s %s", self.resource.plural, change.key)

    async def _maybe_absent(self) -> bool:
        """Note a 404; once it has lasted, the type is absent and so are its objects."""
        now = self._clock()
        if self._absent_since is None:
            self._absent_since = now
        if now - self._absent_since < self._options.absent_after_seconds:
            return False
        if not self.absent:
            log.info("the API server does not serve %s", self.resource.plural)
        self.absent = True
        await self._take({}, Turns())
        self._current_at = now
        self._synced.set()
        return True
