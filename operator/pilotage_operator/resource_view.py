"""The operator's own view of resources: informers, and what they hold now."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from pilotage_api.findings import ResourceKey
from pilotage_kube.client import ApiClient
from pilotage_kube.clock import Time
from pilotage_kube.informer import Change, ChangeKind, Informer, InformerOptions
from pilotage_kube.resource import NAMESPACES, ResourceType
from pilotage_operator.resource_revision import OUR_TYPES, Stored, reads


class _NamespaceMeta(msgspec.Struct, frozen=True):
    labels: dict[str, str] = {}


class _Namespace(msgspec.Struct, frozen=True):
    metadata: _NamespaceMeta


_NAMESPACE: Final = msgspec.json.Decoder(_Namespace)


def _labels(raw: memoryview) -> dict[str, str]:
    return _NAMESPACE.decode(raw).metadata.labels


class ResourceView:
    """Follows pools and policies of the watched namespaces; `run` it as a task.

    Labels of namespaces are followed only where more than one namespace is watched: within one, nothing
    depends on them, and the right to see them is not needed.
    """

    def __init__(
        self,
        client: ApiClient,
        namespaces: tuple[str, ...],
        on_change: Callable[[Stored | None], None],
        *,
        clock: Time | None = None,
        options: InformerOptions | None = None,
    ) -> None:
        """`on_change` gets the resource as it is now, None for a deletion or for a namespace."""
        self._on_change = on_change
        self.revision = 0
        """Goes up with whatever may change what is compiled: not with statuses or labels."""
        wide = namespaces == ("*",)
        self._resources: list[Informer[Stored]] = [
            Informer(
                client,
                resource,
                reads(resource),
                namespace=None if wide else namespace,
                on_change=self._resource_changed,
                clock=clock,
                options=options,
            )
            for resource in OUR_TYPES
            for namespace in namespaces
        ]
        self._namespaces: Informer[dict[str, str]] | None = None
        if wide or len(namespaces) > 1:
            self._namespaces = Informer(
                client, NAMESPACES, _labels, on_change=self._namespace_changed, clock=clock, options=options
            )

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._all():
                tasks.create_task(one.run(), name=f"watch of {one.resource.plural} in {one.namespace or '*'}")

    async def wait_synced(self) -> None:
        """Return once all have been seen once."""
        for one in self._all():
            await one.wait_synced()

    @property
    def synced(self) -> bool:
        """Whether all have been seen once."""
        return all(one.synced for one in self._all())

    @property
    def absent(self) -> ResourceType | None:
        """A type of ours whose CRD is not installed."""
        return next((one.resource for one in self._resources if one.absent), None)

    @property
    def problem(self) -> str | None:
        """Why the view may be old."""
        return next((one.problem for one in self._all() if one.problem is not None), None)

    def ages(self) -> Mapping[str, float]:
        """By type, how old its view may be, in seconds."""
        ages: dict[str, float] = {}
        for one in self._all():
            age = one.age_seconds()
            if age is not None:
                ages[one.resource.plural] = max(age, ages.get(one.resource.plural, 0.0))
        return ages

    def watches(self) -> Mapping[str, int]:
        """By type, how many watches have begun."""
        counts: dict[str, int] = {}
        for one in self._all():
            counts[one.resource.plural] = counts.get(one.resource.plural, 0) + one.counts.watches
        return counts

    def resources(self) -> dict[ResourceKey, Stored]:
        """All pools and policies now."""
        return {stored.key: stored for one in self._resources for stored in one.store.values()}

    def labels(self) -> dict[str, dict[str, str]]:
        """Labels of all namespaces now."""
        if self._namespaces is None:
            return {}
        return {key.name: labels for key, labels in self._namespaces.store.items()}

    def _all(self) -> list[Informer[Stored] | Informer[dict[str, str]]]:
        return [*self._resources, *([self._namespaces] if self._namespaces is not None else [])]

    def _resource_changed(self, change: Change[Stored]) -> None:
        if (
            change.kind is not ChangeKind.CHANGED
            or change.old is None
            or change.old.form != change.value.form
        ):
            self.revision += 1
        self._on_change(None if change.kind is ChangeKind.DELETED else change.value)

    def _namespace_changed(self, _change: Change[dict[str, str]]) -> None:
        self.revision += 1
        self._on_change(None)
