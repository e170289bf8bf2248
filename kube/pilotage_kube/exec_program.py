"""The program of an `exec` entry: within a time and a size, and what fails is an error.

The official client waits for it without end, leaves it running when cancelled, passes its standard input
on, and does not look for it beside the kubeconfig.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.exec_provider import ExecProvider

_MAX_OUTPUT_BYTES = 1 << 20
_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class ExecProgram(ExecProvider):
    """Runs as kubectl runs it. Raises ConfigException."""

    def __init__(self, entry: Any, folder: Path, timeout_seconds: float) -> None:
        super().__init__(entry)
        if self.api_version not in _VERSIONS:
            raise ConfigException(
                f"exec credentials of {self.api_version!r} are not supported: use {_VERSIONS[0]}"
            )
        self._timeout_seconds = timeout_seconds
        self._install_hint = str(entry.safe_get("installHint") or "").strip()
        program = str(self.args[0])
        # relative names with a slash are meant from the kubeconfig's folder
        self.args: list[str] = [
            str(folder / program) if "/" in program else program,
            *map(str, self.args[1:]),
        ]

    async def run(self, previous_response: object = None) -> dict[str, Any]:  # noqa: ARG002 - the package's
        """The `status` of what it prints: a token, or a certificate and its key."""
        asked = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
        program = self.args[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self.args,
                env={**self.env, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError as error:
            hint = f": {self._install_hint}" if self._install_hint else ", or not on PATH"
            raise ConfigException(f"the credentials program {program!r} is not installed{hint}") from error
        except OSError as error:
            raise ConfigException(f"cannot run the credentials program {program!r}: {error}") from error
        try:
            async with asyncio.timeout(self._timeout_seconds):
                out, complaint = await _output(process)
        except TimeoutError as error:
            raise ConfigException(
                f"the credentials program {program!r} does not end within {self._timeout_seconds:g} s"
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            why = complaint.decode(errors="replace").strip()[-300:]
            raise ConfigException(f"the credentials program {program!r} failed: {why}")
        return self._status(out)

    def _status(self, out: bytes) -> dict[str, Any]:
        try:
            found: Any = orjson.loads(out)
            status = found["status"]
            version = found.get("apiVersion")
            if version != self.api_version:
                raise ConfigException(
                    f"the credentials program {self.args[0]!r} answered in {version!r} and not in "
                    f"{self.api_version!r}"
                )
            pair = status.get("clientCertificateData"), status.get("clientKeyData")
            if (status.get("token") or all(pair)) and all(pair) == any(pair):
                return dict(status)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # the error below says so
        raise ConfigException(
            f"the credentials program {self.args[0]!r} gave no token, and no certificate with its key"
        )


async def _output(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    assert process.stderr is not None
    out, complaint = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
    await process.wait()
    return out, complaint


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    """The beginning of what comes; the rest is read too, so that the program can end."""
    kept = bytearray()
    while piece := await stream.read(1 << 16):
        kept += piece[: _MAX_OUTPUT_BYTES - len(kept)]
    return bytes(kept)
