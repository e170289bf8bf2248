"""Watching pods in the namespaces of pools that select them: one informer a namespace.

The API server may be away for as long as it likes: what was seen last stays. Only a list or an event that
says so removes a pod.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.sources.pod_selection import Effect, PodSelection
from pilotage_extproc.sources.pods import Pod, read_pod
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import Forbidden
from pilotage_kube.informer import Change, ChangeKind, Informer, InformerOptions
from pilotage_kube.resource import PODS

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 5.0
"""How long a namespace that came with a later snapshot may hold that snapshot up."""


@dataclass(slots=True, eq=False)
class _Watched:
    informer: Informer[Pod]
    task: "asyncio.Task[None]"


class PodWatch:
    """Keeps a `PodSelection` current. `on_change` is told of every change that matters to a pool."""

    def __init__(
        self,
        client: ApiClient,
        on_change: Callable[[Effect], None],
        *,
        options: InformerOptions | None = None,
    ) -> None:
        self.selection = PodSelection()
        self._client = client
        self._on_change = on_change
        self._options = options
        self._watched: dict[str, _Watched] = {}
        self._synced_once = False

    async def follow(self, pools: Iterable[PoolSnapshot]) -> None:
        """Watch what these pools select; returns once it has been seen.

        The first time it waits for as long as that takes, since no endpoint may be told of before. Later a
        namespace that cannot be read delays the others by five seconds at most; one that may not be read
        (RBAC) never does.
        """
        self.selection.follow(pools)
        wanted = self.selection.namespaces()
        for namespace in self._watched.keys() - wanted:
            await self._end(self._watched.pop(namespace))
            self.selection.forget_namespace(namespace)
        for namespace in wanted - self._watched.keys():
            self._watched[namespace] = self._begin(namespace)
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_SECONDS
        while any(not one.informer.synced for one in self._watched.values() if not _refused(one)):
            if self._synced_once and loop.time() > until:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._synced_once = True

    async def stop(self) -> None:
        """Stop watching."""
        watched = list(self._watched.values())
        self._watched.clear()
        for one in watched:
            await self._end(one)

    def problems(self) -> dict[str, str]:
        """By namespace whose pods have never been seen: why."""
        return {
            namespace: one.informer.problem or "not listed yet"
            for namespace, one in self._watched.items()
            if not one.informer.synced
        }

    def age_seconds(self) -> float:
        """How old the oldest view may be; 0 while all watches are open."""
        ages = [one.informer.age_seconds() for one in self._watched.values()]
        return max((age for age in ages if age is not None), default=0.0)

    def _begin(self, namespace: str) -> _Watched:
        def changed(change: Change[Pod]) -> None:
            gone = change.kind is ChangeKind.DELETED
            effect = self.selection.put(change.key, None if gone else change.value)
            if effect.pools:
                self._on_change(effect)

        informer = Informer(
            self._client, PODS, read_pod, namespace=namespace, on_change=changed, options=self._options
        )
        return _Watched(informer, asyncio.create_task(informer.run(), name=f"watch of pods in {namespace}"))

    @staticmethod
    async def _end(watched: _Watched) -> None:
        watched.task.cancel()
        await asyncio.gather(watched.task, return_exceptions=True)


def _refused(watched: _Watched) -> bool:
    """Whether this process may not see pods there: waiting would not help."""
    return isinstance(watched.informer.error, Forbidden)
