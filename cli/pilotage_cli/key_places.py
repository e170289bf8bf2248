"""Where API keys are kept: a file of hashes, or Secrets of a cluster."""

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from pilotage_cli.failure import CommandError
from pilotage_cli.options import connection_of
from pilotage_extproc.sources.api_key_records import (
    KeyFault,
    KeyFile,
    KeyRecord,
    key_file_text,
    read_key_file,
    secret_data,
)
from pilotage_kube.client import ApiClient
from pilotage_kube.connection import Connection
from pilotage_kube.errors import KubeError
from pilotage_kube.resource import SECRETS

T = TypeVar("T")
SECRET_TYPE: Final = "pilotage.dev/api-key"  # noqa: S105 - a name
_CREATED: Final = "pilotage.dev/created"


class KeyPlace(Protocol):
    """Keeps records of keys."""

    def records(self) -> list[KeyRecord]:
        """All of them. Raises CommandError."""

    def add(self, record: KeyRecord) -> None:
        """Keep one more. Raises CommandError."""

    def remove(self, key_id: str) -> bool:
        """Forget one; whether there was one of that id. Raises CommandError."""


def key_place(
    file: Path | None, namespace: str | None, labels: str, kubeconfig: Path | None, context: str | None
) -> KeyPlace:
    """The file where one is named, else the cluster. Raises CommandError."""
    if file is not None:
        return _File(file)
    return _Cluster(connection_of(kubeconfig, context), namespace, _labels(labels))


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self) -> list[KeyRecord]:
        try:
            return list(read_key_file(self._path.read_bytes()).keys)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CommandError(f"{self._path}: {error.strerror}") from None
        except KeyFault as fault:
            raise CommandError(f"{self._path} {fault}") from None

    def add(self, record: KeyRecord) -> None:
        self._change(lambda records: [*records, record])

    def remove(self, key_id: str) -> bool:
        before = len(self.records())
        self._change(lambda records: [one for one in records if one.id != key_id])
        return len(self.records()) < before

    def _change(self, change: Callable[[list[KeyRecord]], list[KeyRecord]]) -> None:
        """In one step: whoever reads it sees the file before or after; and by one command at a time."""
        beside = self._path.with_name(f".{self._path.name}.new")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            message = f"{beside} is there: another command writes keys, or one has died: then remove it"
            raise CommandError(message) from None
        except OSError as error:
            raise CommandError(f"{beside}: {error.strerror}") from None
        try:
            with os.fdopen(descriptor, "w") as opened:
                opened.write(key_file_text(KeyFile(tuple(change(self.records())))))
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise CommandError(f"{self._path}: {error.strerror}") from None
        finally:
            beside.unlink(missing_ok=True)


class _Cluster:
    def __init__(self, connection: Connection, namespace: str | None, labels: dict[str, str]) -> None:
        self._connection = connection
        self._namespace = namespace or connection.namespace
        self._labels = labels

    def records(self) -> list[KeyRecord]:
        selector = ",".join(f"{name}={value}" for name, value in self._labels.items())
        found = self._ask(lambda client: client.list_all(SECRETS, self._namespace, labels=selector))
        return [_record(one) for one in found]

    def add(self, record: KeyRecord) -> None:
        metadata = {"labels": self._labels, "annotations": {_CREATED: record.created}}
        body = SECRETS.object(
            record.id, self._namespace, metadata=metadata, type=SECRET_TYPE, stringData=secret_data(record)
        )
        self._ask(lambda client: client.create(SECRETS, body, self._namespace))

    def remove(self, key_id: str) -> bool:
        if key_id not in [one.id for one in self.records()]:
            return False
        self._ask(lambda client: client.delete(SECRETS, key_id, self._namespace))
        return True

    def _ask(self, call: Callable[[ApiClient], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with ApiClient(self._connection, user_agent="pilotage-cli") as client:
                return await call(client)

        try:
            return asyncio.run(asked())
        except KubeError as error:
            raise CommandError(f"Secrets of {self._namespace}: {error}") from None


def _record(secret: dict[str, Any]) -> KeyRecord:
    data, metadata = secret.get("data") or {}, secret["metadata"]

    def value(name: str) -> str:
        return base64.b64decode(data.get(name, "")).decode(errors="replace")

    created = (metadata.get("annotations") or {}).get(_CREATED, metadata.get("creationTimestamp", ""))
    return KeyRecord(
        metadata["name"], value("sha256"), value("tenant"), value("team"), value("expires"), created
    )


def _labels(text: str) -> dict[str, str]:
    pairs = [one.strip().partition("=") for one in text.split(",") if one.strip()]
    if not pairs or not all(name and equals for name, equals, _ in pairs):
        raise CommandError("--labels: write NAME=VALUE,…, as apiKeys.secretSelector has them")
    return {name: value for name, _, value in pairs}
