"""Who this process is to an API server. Tokens that rotate are read again; nothing here is logged."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from pilotage_kube.clock import SystemTime, Time
from pilotage_kube.errors import ConfigurationError

_REREAD_SECONDS = 10.0
_EXEC_TIMEOUT_SECONDS = 60.0
_EXPIRY_MARGIN_SECONDS = 60.0
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class Credentials(Protocol):
    """Gives the headers that say who is asking."""

    async def headers(self, *, refused: bool = False) -> Mapping[str, str]:
        """Headers for the next request; `refused` says that the last ones were answered 401.

        Raises ConfigurationError.
        """
        ...


@dataclass(slots=True)
class FixedHeaders:
    """Headers that never change: a static token, impersonation, or none where a certificate speaks."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def headers(self, *, refused: bool = False) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's
        """The headers."""
        return self.values


class TokenFile:
    """A token in a file that someone else renews, as the kubelet does with a pod's own."""

    def __init__(self, path: Path, clock: Time | None = None) -> None:
        self._path = path
        self._clock = clock or SystemTime()
        self._read_at: float | None = None
        self._headers: Mapping[str, str] = {}

    async def headers(self, *, refused: bool = False) -> Mapping[str, str]:
        """The token now in the file; read at most every ten seconds, at once after a refusal."""
        now = self._clock()
        if refused or self._read_at is None or now - self._read_at >= _REREAD_SECONDS:
            try:
                token = self._path.read_text().strip()
            except OSError as error:
                raise ConfigurationError(f"cannot read the token in {self._path}: {error}") from error
            if not token:
                raise ConfigurationError(f"the token file {self._path} is empty")
            self._headers = {"Authorization": f"Bearer {token}"}
            self._read_at = now
        return self._headers


class ExecToken:
    """A token from a program that the kubeconfig names, as clouds' command lines give it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], api_version: str) -> None:
        if api_version not in _EXEC_VERSIONS:
            raise ConfigurationError(
                f"exec credentials of {api_version!r} are not supported: use {_EXEC_VERSIONS[0]}"
            )
        self._command = list(command)
        self._environment = dict(environment)
        self._api_version = api_version
        self._headers: Mapping[str, str] | None = None
        self._expires: datetime | None = None
        self._lock = asyncio.Lock()

    async def headers(self, *, refused: bool = False) -> Mapping[str, str]:
        """The program's token, kept until shortly before it says that it expires."""
        async with self._lock:
            if self._headers is None or refused or self._expired():
                token, self._expires = self._read(await self._run())
                self._headers = {"Authorization": f"Bearer {token}"}
            return self._headers

    def _expired(self) -> bool:
        if self._expires is None:
            return False
        return (self._expires - datetime.now(UTC)).total_seconds() < _EXPIRY_MARGIN_SECONDS

    async def _run(self) -> bytes:
        told = {"apiVersion": self._api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = {**os.environ, **self._environment, "KUBERNETES_EXEC_INFO": json.dumps(told)}
        program = self._command[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ConfigurationError(f"cannot run the credentials program {program!r}: {error}") from error
        try:
            async with asyncio.timeout(_EXEC_TIMEOUT_SECONDS):
                out, complaint = await process.communicate()
        except TimeoutError as error:
            raise ConfigurationError(f"the credentials program {program!r} does not answer") from error
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            why = complaint.decode(errors="replace").strip()[-300:]
            raise ConfigurationError(f"the credentials program {program!r} failed: {why}")
        return out

    def _read(self, out: bytes) -> tuple[str, datetime | None]:
        try:
            status: Any = orjson.loads(out)["status"]
            token = status["token"]
            until = status.get("expirationTimestamp")
            return str(token), datetime.fromisoformat(until) if until else None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"the credentials program {self._command[0]!r} gave no token (client certificates from it "
                "are not supported)"
            ) from error
