"""A picker of the version before, as far as the operator and the snapshot store see it."""

import asyncio
import base64
import zlib
from typing import Any, NoReturn

import msgspec

from pilotage_api.previous_snapshot import PreviousSnapshot
from pilotage_kube.client import ApiClient
from pilotage_kube.errors import NotFound
from pilotage_kube.lease_record import timestamp
from pilotage_kube.replica_report import REPORT_ANNOTATION, REPORT_LABEL
from pilotage_kube.resource import CONFIG_MAPS, LEASES

STORE = "pilotage-snapshot"


class OlderPicker:
    """Follows `current` of the head and nothing else, knows format 1 only, and reports neither."""

    def __init__(self, client: ApiClient, namespace: str, name: str) -> None:
        self.snapshot: PreviousSnapshot | None = None
        self.version = ""
        self.problem = ""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._renewals = 0
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Stop, and take the report back."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.delete(LEASES, f"older-{self._name}", self._namespace)

    async def _run(self) -> NoReturn:
        while True:
            await self._follow()
            await self._report()
            await asyncio.sleep(0.1)

    async def _follow(self) -> None:
        try:
            stored = await self._client.get(CONFIG_MAPS, STORE, self._namespace)
            head = msgspec.json.decode(stored["data"]["head"])
            assert head["format"] == 1
            for manifest in (head["current"], *([] if self.version else head["retained"])):
                if manifest is not None and manifest["version"] != self.version:
                    await self._load(manifest)
                    return
        except NotFound:
            self.problem = "nothing is published"

    async def _load(self, manifest: dict[str, Any]) -> None:
        shards = [
            await self._client.get(CONFIG_MAPS, one["name"], self._namespace) for one in manifest["shards"]
        ]
        packed = b"".join(base64.b64decode(one["binaryData"]["data"]) for one in shards)
        try:
            self.snapshot = PreviousSnapshot.model_validate_json(zlib.decompress(packed))
        except ValueError as error:
            self.problem = str(error)
        else:
            self.version, self.problem = manifest["version"], ""

    async def _report(self) -> None:
        self._renewals += 1
        report = {
            "replica": self._name,
            "version": self.version,
            "ready": bool(self.version),
            "problem": self.problem[:200],
            "boot": "b",
            "renewals": self._renewals,
        }
        name = f"older-{self._name}"
        metadata = {
            "labels": {REPORT_LABEL: "pilotage-extproc"},
            "annotations": {REPORT_ANNOTATION: msgspec.json.encode(report).decode()},
        }
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": 15, "renewTime": timestamp()}
        try:
            await self._client.merge(LEASES, name, {"metadata": metadata, "spec": spec}, self._namespace)
        except NotFound:
            body = LEASES.object(name, self._namespace, metadata=metadata, spec=spec)
            await self._client.create(LEASES, body, self._namespace)
