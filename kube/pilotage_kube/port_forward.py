"""Reaching a port of a pod through the API server, with the caller's own rights (`pods/portforward`).

Each local connection is one WebSocket of the subprotocol `v4.channel.k8s.io`: before every message stands
a byte with its channel, 0 for data and 1 for errors, and each channel begins with the port.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import aiohttp

from pilotage_kube.client import ApiClient
from pilotage_kube.errors import KubeError, Unreachable
from pilotage_kube.resource import PODS

log = logging.getLogger(__name__)

_PROTOCOL: Final = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_PIECE_BYTES = 32 << 10


class ForwardFailed(KubeError):
    """The pod's port could not be reached."""


@asynccontextmanager
async def forwarded(client: ApiClient, namespace: str, pod: str, port: int) -> AsyncIterator[str]:
    """`127.0.0.1:PORT` on this machine, which leads to a port of a pod.

    Raises ForwardFailed, or what else the client raises, where the first connection cannot be made.
    """
    forward = _Forward(client, namespace, pod, port)
    async with forward.open():
        server = await asyncio.start_server(forward.serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    except aiohttp.ClientError as error:
        if forward.problem is not None:
            raise ForwardFailed(f"pod {namespace}/{pod}, port {port}: {forward.problem}") from error
        raise
    finally:
        server.close()
        await forward.stop()


class _Forward:
    def __init__(self, client: ApiClient, namespace: str, pod: str, port: int) -> None:
        self._client = client
        self._path = PODS.path(namespace, pod, "portforward")
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.problem: str | None = None
        """What the pod's node said of a connection, for people."""

    def open(self) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """One connection to the port."""
        params = {"ports": str(self._port)}
        return self._client.websocket(self._path, params=params, protocol=_PROTOCOL)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a local connection on, in a task of its own."""
        task = asyncio.create_task(self._serve(reader, writer), name="forwarded connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self.open() as socket:
                await self._pass(socket, reader, writer)
        except (KubeError, OSError, aiohttp.ClientError) as error:
            self.problem = str(error)
            log.debug("a forwarded connection broke: %s", error)
        finally:
            writer.close()

    async def _pass(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        async def outwards() -> None:
            while piece := await reader.read(_PIECE_BYTES):
                await socket.send_bytes(bytes((_DATA,)) + piece)

        async def inwards() -> None:
            begun = set()
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                channel, content = message.data[0], message.data[1:]
                if channel not in begun:
                    begun.add(channel)
                    content = content[2:]  # the port, little-endian
                if channel == _DATA and content:
                    writer.write(content)
                    await writer.drain()
                elif channel == _ERROR and content:
                    raise Unreachable(content.decode(errors="replace").strip())

        works = [asyncio.ensure_future(outwards()), asyncio.ensure_future(inwards())]
        try:
            # the protocol has no half-closed connections: the end of either is the end of both
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                work.result()
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def stop(self) -> None:
        """End all connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
