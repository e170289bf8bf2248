"""A small asynchronous client of the API server: JSON in and out, typed errors, watches as streams."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from pilotage_kube.connection import Connection
from pilotage_kube.errors import (
    ApiError,
    InvalidResponse,
    KubeError,
    Unreachable,
    api_error,
    status_error,
)
from pilotage_kube.lines import LineBuffer
from pilotage_kube.resource import ResourceType
from pilotage_kube.wire import ListPage, ObjectMeta, WatchEvent, list_page, object_meta, watch_event

Object = dict[str, Any]

_MAX_RESPONSE_BYTES = 64 << 20
_MAX_EVENT_BYTES = 8 << 20
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"


class ApiClient:
    """Speaks to one API server as one identity. Use as an asynchronous context manager.

    Every method raises `ApiError` (or one of its kinds) for a refusal, `Unreachable` where no answer came,
    `InvalidResponse` for nonsense, `ConfigurationError` where credentials cannot be had.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timeout_seconds: float = 15.0,
        user_agent: str = "pilotage",
        max_connections: int = 32,
    ) -> None:
        self.connection = connection
        self._timeout_seconds = timeout_seconds
        self._user_agent = user_agent
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, resource: ResourceType, name: str, namespace: str | None = None) -> Object:
        """One object."""
        return await self._object("GET", resource.path(namespace, name))

    async def page(
        self,
        resource: ResourceType,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 250,
        more: str = "",
    ) -> ListPage:
        """One page of a list, as raw items; `more` is the last page's continue token.

        Raises Gone where that token has aged.
        """
        params = _selectors(labels, fields) | {"limit": str(limit)} | ({"continue": more} if more else {})
        return list_page(await self.request("GET", resource.path(namespace), params=params))

    async def list_all(
        self,
        resource: ResourceType,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> list[Object]:
        """All objects, as dicts. For few objects: follow many with an `Informer`."""
        found: list[Object] = []
        more = ""
        while True:
            page = await self.page(resource, namespace, labels=labels, fields=fields, more=more)
            found += [orjson.loads(memoryview(item)) for item in page.items or ()]
            more = page.metadata.more
            if not more:
                return found

    async def list_metadata(
        self, resource: ResourceType, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[ObjectMeta]:
        """Names and versions only: the server sends no data with them."""
        body = await self.request(
            "GET", resource.path(namespace), params=_selectors(labels, fields), accept=_METADATA_ONLY
        )
        return [object_meta(memoryview(item)) for item in list_page(body).items or ()]

    async def create(self, resource: ResourceType, body: Object, namespace: str | None = None) -> Object:
        """A new object. Raises AlreadyExists."""
        return await self._object("POST", resource.path(namespace), body)

    async def replace(
        self, resource: ResourceType, body: Object, namespace: str | None = None, *, subresource: str = ""
    ) -> Object:
        """Write an object whole; its `resourceVersion` must still be current. Raises Conflict."""
        return await self._object(
            "PUT", resource.path(namespace, body["metadata"]["name"], subresource), body
        )

    async def apply(
        self,
        resource: ResourceType,
        body: Object,
        namespace: str | None = None,
        *,
        manager: str,
        force: bool = True,
        subresource: str = "",
    ) -> Object:
        """Server-side apply: own exactly the fields of `body` under this manager's name."""
        path = resource.path(namespace, body["metadata"]["name"], subresource)
        params = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._object("PATCH", path, body, params=params, content_type=_APPLY_PATCH)

    async def merge(
        self,
        resource: ResourceType,
        name: str,
        patch: Object,
        namespace: str | None = None,
        *,
        subresource: str = "",
    ) -> Object:
        """Merge fields into an object (RFC 7386: null removes, lists are replaced)."""
        path = resource.path(namespace, name, subresource)
        return await self._object("PATCH", path, patch, content_type=_MERGE_PATCH)

    async def delete(
        self,
        resource: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        uid: str = "",
        resource_version: str = "",
    ) -> None:
        """Delete an object, only if it still is the one of that uid and version where they are given."""
        conditions = {"uid": uid, "resourceVersion": resource_version}
        body = {"preconditions": {field: value for field, value in conditions.items() if value}}
        await self.request("DELETE", resource.path(namespace, name), body=orjson.dumps(body))

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_seconds: float | None = None,
    ) -> bytes:
        """Any request; the body of its answer."""
        bounds = aiohttp.ClientTimeout(total=timeout_seconds or self._timeout_seconds)
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        try:
            async with await self._open(method, path, params, headers, bounds, body) as response:
                content = await _read_bounded(response)
                if response.status >= 400:
                    raise api_error(response.status, content, response.headers.get("Retry-After"))
                return content
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(self.connection.server, error) from error

    async def watch(
        self,
        resource: ResourceType,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
        timeout_seconds: int = 300,
        idle_seconds: float = 100.0,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after that version, bookmarks included, until the server ends the watch after its timeout.

        A stream without a byte for `idle_seconds` counts as cut (bookmarks come about once a minute).
        `on_open` is called once the server has accepted the watch.
        Raises Gone where the version is too old, and whatever else an ERROR event stands for.
        """
        params = _selectors(labels, fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
        }
        bounds = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_seconds, sock_read=idle_seconds)
        lines = LineBuffer(_MAX_EVENT_BYTES)
        path = resource.path(namespace)
        try:
            async with await self._open(
                "GET", path, params, {"Accept": "application/json"}, bounds
            ) as response:
                if response.status >= 400:
                    content = await _read_bounded(response)
                    raise api_error(response.status, content, response.headers.get("Retry-After"))
                if on_open is not None:
                    on_open()
                async for piece in response.content.iter_any():
                    for line in lines.feed(piece):
                        event = watch_event(line)
                        if event.type == "ERROR":
                            raise status_error(orjson.loads(memoryview(event.object)))
                        yield event
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(self.connection.server, error) from error

    async def websocket(
        self, path: str, *, params: Mapping[str, str], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket to a subresource such as `portforward`; close it in the end."""
        connection = self.connection
        if self._session is None:
            self._session = self._new_session()
        for refused in (False, True):
            try:
                return await self._session.ws_connect(
                    connection.server + path,
                    params=params,
                    protocols=(protocol,),
                    headers=await connection.credentials.headers(refused=refused),
                    ssl=connection.tls or True,
                    server_hostname=connection.tls_server_name,
                    proxy=connection.proxy,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                    max_msg_size=_MAX_EVENT_BYTES,
                )
            except aiohttp.WSServerHandshakeError as error:
                if error.status != 401 or refused:
                    # what the server says with a refusal stands in the body, which the client drops
                    raise await self._refusal(path, params, error) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unreachable(connection.server, error) from error
        raise AssertionError

    async def _refusal(
        self, path: str, params: Mapping[str, str], error: aiohttp.WSServerHandshakeError
    ) -> KubeError:
        """The typed error that a refused WebSocket stands for, by asking once more without one."""
        try:
            await self.request("GET", path, params=params)
        except ApiError as told:
            if told.status == error.status:
                return told
        except KubeError as told:
            return told
        return api_error(error.status, error.message.encode())

    async def _object(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        content = await self.request(
            method,
            path,
            params=params,
            body=None if body is None else orjson.dumps(body),
            content_type=content_type,
        )
        try:
            found = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise InvalidResponse(f"{method} {path} was answered with no JSON: {error}") from error
        if not isinstance(found, dict):
            raise InvalidResponse(f"{method} {path} was answered with no object")
        return found

    async def _open(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        bounds: aiohttp.ClientTimeout,
        body: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request; credentials that are refused are read anew, once."""
        response = await self._send(method, path, params, headers, bounds, body, refused=False)
        if response.status != 401:
            return response
        response.close()
        return await self._send(method, path, params, headers, bounds, body, refused=True)

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        bounds: aiohttp.ClientTimeout,
        body: bytes | None,
        *,
        refused: bool,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = self._new_session()
        connection = self.connection
        return await self._session.request(
            method,
            connection.server + path,
            params=params,
            data=body,
            headers={**headers, **await connection.credentials.headers(refused=refused)},
            timeout=bounds,
            ssl=connection.tls or True,
            server_hostname=connection.tls_server_name,
            proxy=connection.proxy,
            allow_redirects=False,
        )

    def _new_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._max_connections, socket_factory=_kept_alive)
        return aiohttp.ClientSession(
            connector=connector, headers={"User-Agent": self._user_agent}, cookie_jar=aiohttp.DummyCookieJar()
        )


def _kept_alive(address: Any) -> socket.socket:
    """A socket that notices within half a minute that the other machine is gone without a word."""
    made = socket.socket(address[0], address[1], address[2])
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return made


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > _MAX_RESPONSE_BYTES:
            raise InvalidResponse(f"an answer of more than {_MAX_RESPONSE_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _unreachable(server: str, error: BaseException) -> Unreachable:
    if isinstance(error, asyncio.TimeoutError):
        return Unreachable(f"{server} does not answer in time")
    return Unreachable(f"{server} cannot be reached: {error or type(error).__name__}")
