"""Other gateways that wrote statuses here: which of them are gone, or no longer look at a resource."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pilotage_api.findings import ResourceKey
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import Time, within
from pilotage_kube.errors import KubeError, NotFound
from pilotage_kube.resource import CONFIG_MAPS
from pilotage_operator.resource_revision import Stored

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 30.0
"""How long it is believed what was found of a writer."""
UNOBSERVED_SECONDS: Final = 60.0
"""A writer that does not observe a generation for this long has left the resource."""
AGAIN_AFTER_SECONDS: Final = 60.0
"""How often one status is taken over: a writer that lives after all takes it back, without a fight."""
_MOST_SECONDS: Final = 1.0
"""For one answer: an edit may be waiting to be published."""
_MOST_ASKED: Final = 16
"""Writers known at once; those that are gone make room, for what they wrote is taken over."""
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(slots=True, frozen=True)
class _Unobserved:
    """A resource whose newest generation the writer of the status has not looked at."""

    uid: str
    writer: str
    observed: object
    """The generation that it looked at last."""
    since: float


class WriterView:
    """Finds resources whose status nobody else keeps; `look` at every plan.

    Two signs: the writer's snapshot, whose name it is, is no longer in our namespace (elsewhere we may not
    look); or it has not observed a generation for long.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        gateway: str,
        written_at: Callable[[Stored], float | None],
        clock: Time,
    ) -> None:
        """`gateway` is our own `namespace/name`; `written_at` returns when this process wrote a status."""
        self._client = client
        self._gateway = gateway
        self._namespace = gateway.partition("/")[0]
        self._written_at = written_at
        self._clock = clock
        self._asked: dict[str, tuple[float, bool]] = {}
        self._unobserved: dict[ResourceKey, _Unobserved] = {}
        self.reads = 0
        """API reads so far."""

    async def look(
        self, resources: Mapping[ResourceKey, Stored]
    ) -> tuple[frozenset[ResourceKey], float | None]:
        """Resources whose writer writes no more, and in how many seconds to look again at the latest."""
        foreign: dict[ResourceKey, tuple[Stored, str]] = {}
        for key, stored in resources.items():
            writer = stored.status.get("gateway")
            if isinstance(writer, str) and writer not in ("", self._gateway):
                foreign[key] = stored, writer
        gone = await self._gone({writer for _, writer in foreign.values()})
        now = self._clock()
        self._unobserved = {
            key: self._since(key, stored, writer, now)
            for key, (stored, writer) in foreign.items()
            if stored.status.get("observedGeneration") != stored.form.generation
        }
        silent: set[ResourceKey] = set()
        again: list[float] = []
        for key, (stored, writer) in foreign.items():
            moments = []
            if writer in gone:
                moments.append(now)
            if key in self._unobserved:
                moments.append(self._unobserved[key].since + UNOBSERVED_SECONDS)
            if not moments:
                continue
            moment, written = min(moments), self._written_at(stored)
            if written is not None:
                moment = max(moment, written + AGAIN_AFTER_SECONDS)
            if moment <= now:
                silent.add(key)
            else:
                again.append(moment - now)
        return frozenset(silent), min(again) if again else None

    def _since(self, key: ResourceKey, stored: Stored, writer: str, now: float) -> _Unobserved:
        observed = stored.status.get("observedGeneration")
        before = self._unobserved.get(key)
        if before is not None and (before.uid, before.writer, before.observed) == (
            stored.form.uid,
            writer,
            observed,
        ):
            # edits that follow each other do not begin anew: none of them was observed
            return before
        return _Unobserved(stored.form.uid, writer, observed, now)

    async def _gone(self, writers: Iterable[str]) -> set[str]:
        writers = set(writers)
        self._asked = {writer: told for writer, told in self._asked.items() if writer in writers}
        gone = set()
        for writer in sorted(writers):
            namespace, _, name = writer.partition("/")
            if not _NAME.fullmatch(namespace) or not _NAME.fullmatch(name):
                # no gateway has such a name
                gone.add(writer)
            elif namespace == self._namespace and await self._is_gone(writer, name):
                gone.add(writer)
        return gone

    async def _is_gone(self, writer: str, name: str) -> bool:
        told = self._asked.get(writer)
        if told is not None and self._clock() - told[0] < ASK_EVERY_SECONDS:
            return told[1]
        if told is None and len(self._asked) >= _MOST_ASKED:
            return False
        gone = False
        self.reads += 1
        try:
            await within(self._clock, _MOST_SECONDS, self._client.get(CONFIG_MAPS, name, self._namespace))
        except NotFound:
            gone = True
            log.info("gateway %s is gone: statuses that it wrote are ours to write", writer)
        except (KubeError, TimeoutError) as error:
            log.debug("cannot see whether gateway %s is still there: %s", writer, error)
        self._asked[writer] = self._clock(), gone
        return gone
