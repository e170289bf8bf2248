"""What a gateway in a cluster runs, and what is wrong with what it reads: by the user's own rights."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.gateways import Gateway
from pilotage_api.load import Loaded, load_objects, load_settings
from pilotage_api.settings import GatewaySettings
from pilotage_cli.cluster_admin import PickerUnreachable, Told, cluster_admin
from pilotage_cli.failure import CommandError
from pilotage_cli.folder import load_folder
from pilotage_cli.folder_files import FolderError
from pilotage_kube.client import ApiClient
from pilotage_kube.connection import Connection
from pilotage_kube.errors import Forbidden, KubeError, NotFound
from pilotage_kube.resource import MODEL_POOLS, NAMESPACES, ROUTE_POLICIES, TENANTS, ResourceType

_SETTLING_SECONDS = 3.0


@dataclass(slots=True, frozen=True)
class ClusterChecked:
    """What was found."""

    compiled: Compiled
    replicas: list[dict[str, Any]]
    """What each picker says of itself, or `reached: false` and the `problem`; empty for a folder."""
    namespace: str
    unseen: tuple[str, ...] = ()
    """Resources whose newest generation no operator has looked at: what the pickers run may be older."""

    @property
    def has_problems(self) -> bool:
        """Whether a picker cannot be asked or does not run all that is published, or not all is published."""
        return bool(self.unseen) or any(one.get("problem") or one.get("refusals") for one in self.replicas)


async def check_cluster(
    connection: Connection,
    namespace: str | None,
    token: str | None,
    folder: Path | None,
    folder_namespace: str | None = None,
    release: str | None = None,
    gateway: Gateway | None = None,
) -> ClusterChecked:
    """Compile the resources in the cluster, with a folder's laid over them, by the gateway's own settings.

    `gateway` stands for what those say of what asks the picker. `folder_namespace` is where the folder
    would be applied; None is the gateway's. `release` says which
    gateway where several run in the namespace. Raises CommandError.
    """
    async with cluster_admin(connection, namespace, token, release) as admin:
        await admin.only_release()
        replicas = [_status(one) async for one in admin.ask("/status")]
        settings = asked_by(gateway, _settings(next(one for one in replicas if "settings" in one)))
        objects = await _resources(admin.client, settings)
        if unseen_generations(objects):
            # somebody has only just applied them, perhaps
            await asyncio.sleep(_SETTLING_SECONDS)
            objects = await _resources(admin.client, settings)
        loaded = load_objects(objects)
        if folder is not None:
            lay_over(loaded, folder, folder_namespace or admin.namespace)
        return ClusterChecked(
            compile_resources(loaded, settings, in_cluster=True),
            replicas,
            admin.namespace,
            unseen_generations(objects),
        )


def asked_by(gateway: Gateway | None, settings: GatewaySettings) -> GatewaySettings:
    """The settings as they would be under this gateway; None leaves them."""
    return settings if gateway is None else settings.model_copy(update={"gateway": gateway})


def unseen_generations(objects: list[dict[str, Any]]) -> tuple[str, ...]:
    """Which pools and policies have a generation that their status does not know yet."""
    found = []
    for one in objects:
        metadata, status = one["metadata"], one.get("status") or {}
        generation = metadata.get("generation")
        ours = generation is not None and one["kind"] != NAMESPACES.kind
        if ours and status.get("observedGeneration", 0) < generation:
            found.append(f"{one['kind']} {metadata['namespace']}/{metadata['name']}")
    return tuple(found)


def _status(told: Told | PickerUnreachable) -> dict[str, Any]:
    if isinstance(told, PickerUnreachable):
        return {"replica": told.picker.name, "reached": False, "problem": told.problem}
    if told.status != 200 or "settings" not in told.body:
        raise CommandError(
            f"{told.picker.name} does not report its status ({told.status}): is it of another version?"
        )
    found: dict[str, Any] = told.body
    return found


def _settings(replica: dict[str, Any]) -> GatewaySettings:
    settings, findings = load_settings(replica["settings"])
    if settings is None:
        raise CommandError(f"the gateway's settings are of another version: {findings[0].message}")
    return settings


async def _resources(client: ApiClient, settings: GatewaySettings) -> list[dict[str, Any]]:
    where = [None if one == "*" else one for one in settings.watched_namespaces]
    objects: list[dict[str, Any]] = []
    for resource in (MODEL_POOLS, ROUTE_POLICIES, TENANTS):
        for namespace in where:
            objects += await _list(client, resource, namespace)
    with suppress(CommandError):  # only pools that select namespaces by label need them
        objects += await _list(client, NAMESPACES, None)
    return objects


async def _list(client: ApiClient, resource: ResourceType, namespace: str | None) -> list[dict[str, Any]]:
    envelope = {"apiVersion": resource.api_version, "kind": resource.kind}
    try:
        return [{**envelope, **one} for one in await client.list_all(resource, namespace)]
    except Forbidden as error:
        raise CommandError(f"{error}; the right required is list on {resource.plural}") from None
    except NotFound:
        raise CommandError(f"the cluster has no {resource.kind}: is Pilotage installed?") from None
    except KubeError as error:
        raise CommandError(f"cannot list {resource.plural}: {error}") from None


def lay_over(loaded: Loaded, folder: Path, namespace: str) -> None:
    """As if the folder were applied to this namespace: what names another goes there."""
    try:
        over = load_folder(folder, namespace)
    except FolderError as error:
        raise CommandError(str(error)) from None
    loaded.replace_by(over)
