"""Watching InferencePools and InferenceObjectives, where their CRDs exist."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from pilotage_extproc.sources.inference_pools import (
    InferenceObjective,
    InferencePool,
    ServedPools,
    priorities,
    served_pools,
)
from pilotage_kube.client import ApiClient
from pilotage_kube.informer import Change, Informer, InformerOptions
from pilotage_kube.resource import (
    INFERENCE_OBJECTIVES,
    INFERENCE_POOLS,
    OLD_INFERENCE_OBJECTIVES,
    ObjectKey,
)
from pilotage_kube.wire import typed

EVERY_NAMESPACE = "*"


class InferenceWatch:
    """Follows both in some namespaces; `run` it as a task. `on_change` says to read anew."""

    def __init__(
        self,
        client: ApiClient,
        on_change: Callable[[], None],
        *,
        namespaces: tuple[str, ...],
        service: str,
        own_ports: Mapping[int, str],
        options: InformerOptions | None = None,
    ) -> None:
        self._on_change = on_change
        self._service = service
        self._own_ports = own_ports
        where = (None,) if EVERY_NAMESPACE in namespaces else namespaces
        self._pools = [
            Informer(
                client,
                INFERENCE_POOLS,
                typed(InferencePool),
                namespace=namespace,
                on_change=self._changed,
                options=options,
            )
            for namespace in where
        ]
        self._objectives, self._old_objectives = (
            [
                Informer(
                    client,
                    resource,
                    typed(InferenceObjective),
                    namespace=namespace,
                    on_change=self._changed,
                    options=options,
                )
                for namespace in where
            ]
            for resource in (INFERENCE_OBJECTIVES, OLD_INFERENCE_OBJECTIVES)
        )

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in (*self._pools, *self._objectives, *self._old_objectives):
                tasks.create_task(informer.run(), name=f"watch of {informer.resource.plural}")
            await asyncio.Event().wait()
        raise AssertionError

    def served(self) -> ServedPools:
        """The pools that name this picker, as they are now."""

        def found() -> Iterator[tuple[ObjectKey, InferencePool]]:
            for informer in self._pools:
                yield from informer.store.items()

        return served_pools(found(), service=self._service, own_ports=self._own_ports)

    def priorities(self) -> dict[tuple[str, str], int]:
        """Priority by pool key and objective name.

        Where InferenceObjectives of llm-d's group are installed, those of the old group do not count: a
        cluster that has both was moved, and the old ones are left over.
        """
        moved = any(informer.synced and not informer.absent for informer in self._objectives)
        informers = self._objectives if moved else self._old_objectives
        return priorities(one for informer in informers for one in informer.store.items())

    def _changed(self, _change: Change[Any]) -> None:
        self._on_change()
