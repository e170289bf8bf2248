"""What is asked of an API server: lists cut into raw items, watches as streams, typed errors."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson

from pilotage_kube.clock import SystemTime, Time
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
from pilotage_kube.session import Session
from pilotage_kube.wire import ListPage, ObjectMeta, WatchEvent, list_page, object_meta, watch_event

if TYPE_CHECKING:
    from pilotage_kube.access import Access, Transport

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
        clock: Time | None = None,
    ) -> None:
        self.connection = connection
        self._timeout_seconds = timeout_seconds
        self._user_agent = user_agent
        self._session = Session(connection.credentials, clock or SystemTime())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

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
        await self.request("DELETE", resource.path(namespace, name), body=body)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_seconds: float | None = None,
    ) -> bytes:
        """Any request; the body of its answer."""
        bounds = aiohttp.ClientTimeout(total=timeout_seconds or self._timeout_seconds)
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        try:
            async with self._answer(method, path, params, headers, bounds, body) as response:
                return await _content(response)
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
            async with self._answer("GET", path, params, {"Accept": "application/json"}, bounds) as response:
                if response.status >= 400:
                    await _content(response)
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

    @asynccontextmanager
    async def websocket(
        self, path: str, *, params: Mapping[str, str], protocol: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket to a subresource such as `portforward`."""
        transport, socket = await self._shake_hands(path, params, protocol)
        try:
            yield socket
        finally:
            await transport.hang_up(socket)

    async def _shake_hands(
        self, path: str, params: Mapping[str, str], protocol: str
    ) -> "tuple[Transport, aiohttp.ClientWebSocketResponse]":
        url = _url(self.connection.server, path, params)
        refused: Access | None = None
        while True:
            access = await self._session.access(refused)
            try:
                return access.transport, await access.transport.websocket(
                    url, await access.headers(), protocol
                )
            except aiohttp.WSServerHandshakeError as error:
                if error.status != 401 or refused is not None:
                    # what the server says with a refusal stands in the body, which the client drops
                    raise await self._refusal(path, params, error) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unreachable(self.connection.server, error) from error
            refused = access

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
            body=body,
            content_type=content_type,
        )
        try:
            found = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise InvalidResponse(f"{method} {path} was answered with no JSON: {error}") from error
        if not isinstance(found, dict):
            raise InvalidResponse(f"{method} {path} was answered with no object")
        return found

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        bounds: aiohttp.ClientTimeout,
        body: Object | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The beginning of an answer; credentials that are refused are loaded anew, once."""
        url = _url(self.connection.server, path, params)
        refused: Access | None = None
        while True:
            access = await self._session.access(refused)
            transport = access.transport
            sent = await access.headers()
            sent.update(headers)
            sent["User-Agent"] = self._user_agent
            response = await transport.send(method, url, sent, bounds, body)
            try:
                if response.status != 401 or refused is not None:
                    yield response
                    return
            finally:
                await transport.release(response)
            refused = access


def _url(server: str, path: str, params: Mapping[str, str] | None) -> str:
    return f"{server}{path}?{urlencode(params)}" if params else server + path


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """The body, within its bound. Raises the error that a refusal stands for."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > _MAX_RESPONSE_BYTES:
            raise InvalidResponse(f"an answer of more than {_MAX_RESPONSE_BYTES} bytes")
        pieces.append(piece)
    content = b"".join(pieces)
    if response.status >= 400:
        raise api_error(response.status, content, response.headers.get("Retry-After"))
    return content


def _unreachable(server: str, error: BaseException) -> Unreachable:
    if isinstance(error, asyncio.TimeoutError):
        return Unreachable(f"{server} does not answer in time")
    return Unreachable(f"{server} cannot be reached: {error or type(error).__name__}")
