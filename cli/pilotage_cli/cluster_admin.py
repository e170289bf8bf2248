"""The admin addresses of a gateway's pickers in a cluster, by port-forward and with the user's own rights."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from pilotage_cli.failure import CommandError
from pilotage_kube.client import ApiClient
from pilotage_kube.connection import Connection
from pilotage_kube.errors import Forbidden, KubeError, NotFound
from pilotage_kube.port_forward import forwarded
from pilotage_kube.resource import PODS, SECRETS

PICKERS = "app.kubernetes.io/part-of=pilotage,app.kubernetes.io/component=extproc"
"""Labels of the chart's pickers."""
_RELEASE_LABEL = "app.kubernetes.io/instance"
ADMIN_PORT_NAME = "admin"
_ADMIN_VOLUME = "admin"
_TOKEN_KEY = "token"  # noqa: S105 - a name
_TIMEOUT_SECONDS = 10
_MOST_REASON = 160


@dataclass(slots=True, frozen=True)
class PickerPod:
    """One picker that runs."""

    name: str
    port: int
    """Of its admin address."""
    secret: str | None
    """The Secret with its token, as the pod mounts it."""
    release: str
    """Of the chart; empty where its labels do not say."""


@dataclass(slots=True, frozen=True)
class Told:
    """What one picker answered."""

    picker: PickerPod
    status: int
    body: Any


class PickerUnreachable(CommandError):
    """No answer from one picker; others may answer."""

    def __init__(self, picker: PickerPod, reason: str) -> None:
        self.picker = picker
        self.problem = f"cannot be reached by port-forward: {one_line(reason)}"
        super().__init__(f"{picker.name} {self.problem}")


class ClusterAdmin:
    """Asks pickers. Every method raises CommandError with what is wrong and what mends it."""

    def __init__(
        self, client: ApiClient, namespace: str, *, token: str | None = None, release: str | None = None
    ) -> None:
        """`token` is that of all pickers; None reads each one's. `release` leaves out other releases."""
        self.client = client
        self.namespace = namespace
        self._token = token
        self._tokens: dict[str | None, str] = {}
        self._release = release

    async def pickers(self) -> list[PickerPod]:
        """The running pickers of the namespace, ready ones first. Never empty."""
        selector = PICKERS if self._release is None else f"{PICKERS},{_RELEASE_LABEL}={self._release}"
        try:
            pods = await self.client.list_all(PODS, self.namespace, labels=selector)
        except KubeError as error:
            raise CommandError(f"cannot list pods in {self.namespace}: {error}") from None
        running = [pod for pod in pods if _runs(pod)]
        if not running:
            raise CommandError(
                f"no picker runs in namespace {self.namespace} (pods labelled {selector}): "
                "name the release's namespace with -n"
            )
        running.sort(key=lambda pod: (not _is_ready(pod), pod["metadata"]["name"]))
        return [_picker(pod) for pod in running]

    async def only_release(self) -> None:
        """Raises CommandError where pickers of several releases run here and none of these was named."""
        releases = sorted({one.release for one in await self.pickers()})
        if len(releases) > 1:
            raise CommandError(
                f"pickers of several releases run in {self.namespace}: name one of "
                f"{', '.join(releases)} with --release"
            )

    async def ask(self, path: str) -> AsyncIterator[Told | PickerUnreachable]:
        """One page of every running picker in turn, or why that picker cannot be asked.

        Raises the first PickerUnreachable in the end where none could be.
        """
        first: PickerUnreachable | None = None
        reached = False
        for picker in await self.pickers():
            try:
                status, body = await self.get(picker, path)
            except PickerUnreachable as error:
                first = first or error
                yield error
            else:
                reached = True
                yield Told(picker, status, body)
        if first is not None and not reached:
            raise first

    async def get(self, picker: PickerPod, path: str) -> tuple[int, Any]:
        """Status and JSON of one page. Raises PickerUnreachable where this picker alone may be the reason."""
        headers = {"Authorization": f"Bearer {await self._token_of(picker)}"}
        async with (
            self._session(picker) as (session, address),
            session.get(f"http://{address}{path}", headers=headers) as answer,
        ):
            status, body = answer.status, await answer.read()
        if status == 401:
            raise CommandError(
                f"{picker.name} does not accept the token: give the right one with --token-file"
            )
        try:
            return status, orjson.loads(body)
        except orjson.JSONDecodeError:
            raise CommandError(f"{picker.name} answered {status} without JSON") from None

    @asynccontextmanager
    async def _session(self, picker: PickerPod) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        try:
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                forwarded(self.client, self.namespace, picker.name, picker.port) as address,
                aiohttp.ClientSession(timeout=timeout) as session,
            ):
                yield session, address
        except Forbidden as error:
            raise CommandError(
                f"{error}; the right required is get and create on pods/portforward in {self.namespace}"
            ) from None
        except (KubeError, aiohttp.ClientError, TimeoutError) as error:
            raise PickerUnreachable(picker, str(error) or "no answer") from None

    async def _token_of(self, picker: PickerPod) -> str:
        if self._token is not None:
            return self._token
        if picker.secret not in self._tokens:
            self._tokens[picker.secret] = await self._read_token(picker)
        return self._tokens[picker.secret]

    async def _read_token(self, picker: PickerPod) -> str:
        if picker.secret is None:
            raise CommandError(f"pod {picker.name} mounts no Secret with a token: give one with --token-file")
        try:
            found = await self.client.get(SECRETS, picker.secret, self.namespace)
            return base64.b64decode(found["data"][_TOKEN_KEY]).decode().strip()
        except (Forbidden, NotFound) as error:
            raise CommandError(
                f"{error}; the right required is get on this Secret, or give the token with --token-file"
            ) from None
        except (KubeError, KeyError, ValueError) as error:
            raise CommandError(f"no token in Secret {self.namespace}/{picker.secret}: {error}") from None


@asynccontextmanager
async def cluster_admin(
    connection: Connection, namespace: str | None, token: str | None, release: str | None = None
) -> AsyncIterator[ClusterAdmin]:
    """For the length of a command."""
    async with ApiClient(connection, user_agent="pilotage-cli") as client:
        yield ClusterAdmin(client, namespace or connection.namespace, token=token, release=release)


def one_line(text: str) -> str:
    """A node's words on one short line: what was tried stands first, why it failed last."""
    text = " ".join(text.split())
    if len(text) <= _MOST_REASON:
        return text
    half = _MOST_REASON // 2
    return f"{text[: half - 2].rstrip()} … {text[1 - half :].lstrip()}"


def _runs(pod: dict[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _picker(pod: dict[str, Any]) -> PickerPod:
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
    admin = [port["containerPort"] for port in ports if port.get("name") == ADMIN_PORT_NAME]
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    secret = volumes.get(_ADMIN_VOLUME, {}).get("secret", {}).get("secretName")
    release = (pod["metadata"].get("labels") or {}).get(_RELEASE_LABEL, "")
    return PickerPod(pod["metadata"]["name"], int(admin[0]) if admin else 9003, secret, release)
