"""A picker that follows a cluster instead of a folder."""

import asyncio
import os
import secrets
from collections.abc import Mapping

from pilotage_api.settings import GatewaySettings
from pilotage_cli.event_loop import until
from pilotage_extproc.server.addresses import join_address, split_address
from pilotage_extproc.server.cluster import ClusterFollower, ClusterIdentity
from pilotage_extproc.server.extproc_server import ExtProcServer
from pilotage_extproc.server.garbage import tune_garbage_collection
from pilotage_kube.client import ApiClient
from pilotage_kube.connection import Connection

_EVERY_INTERFACE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


class ClusterPicker:
    """extproc in a cluster: ready once it follows a published snapshot and has seen its pools' pods."""

    def __init__(
        self,
        connection: Connection,
        settings: GatewaySettings,
        *,
        replica: str | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._environment = environment
        self._client = ApiClient(connection, user_agent="pilotage-extproc")
        self._replica = replica or environment.get("POD_NAME") or f"extproc-{secrets.token_hex(3)}"
        # a container that restarts keeps its pod's name, and must not be taken for its former life
        process_id = f"{self._replica}.{secrets.token_hex(2)}"
        self.server = ExtProcServer(settings, process_id=process_id, cluster=self._client)
        self.follower: ClusterFollower | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and begin to follow. Raises AddressError, TlsError."""
        await self.server.start()
        identity = _identity(
            self._settings, self._connection, self._replica, self.server.address, self._environment
        )
        self.follower = ClusterFollower(self.server, self._client, self._settings, identity)
        self.server.view.show_in_cluster(self.follower.status)
        tune_garbage_collection()
        self._task = asyncio.create_task(self.follower.run(), name="follow the cluster")

    async def wait(self) -> str:
        """Until it cannot go on; says why. Raises what ended the following of the cluster."""
        assert self._task is not None
        await self._task
        return "the cluster is not followed any more"

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """Say that it goes, drain, take the report back, and stop; `at_once` ends the draining."""
        self.server.view.drains()
        if self.follower is not None:
            self.follower.report()
        await until(at_once or asyncio.Event(), self.server.drain())
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.follower is not None:
            await self.follower.leave()
        await self.server.stop()
        await self._client.close()


def _identity(
    settings: GatewaySettings,
    connection: Connection,
    replica: str,
    listening: str,
    environment: Mapping[str, str],
) -> ClusterIdentity:
    host, port = split_address(listening)
    if host in _EVERY_INTERFACE:
        host = environment.get("POD_IP", "")
    uid = environment.get("POD_UID")
    namespace = settings.kubernetes.namespace or environment.get("POD_NAMESPACE") or connection.namespace
    return ClusterIdentity(
        namespace=namespace,
        replica=replica,
        address=join_address(host, port) if host else "",
        owner={"apiVersion": "v1", "kind": "Pod", "name": replica, "uid": uid} if uid else None,
    )
