"""The built-in transport: a gRPC server on asyncio's sockets."""

import asyncio
import contextlib
import logging
import socket
import ssl

from pilotage_extproc.transport.connection import Connection
from pilotage_extproc.transport.contract import Service
from pilotage_extproc.transport.coroutine import by_coroutine
from pilotage_extproc.transport.limits import Limits, SharedRoom
from pilotage_extproc.transport.owner import Served

log = logging.getLogger(__name__)

_WATCH_SECONDS = 1.0
_BACKLOG = 1024
_STOPPED_LOOK_SECONDS = 0.02


class BuiltinPort:
    """One address. Plaintext with prior knowledge, or TLS whose ALPN is h2."""

    def __init__(self, tls: ssl.SSLContext | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._tls = tls
        self.methods: dict[str, Served] = {}
        """By path."""
        self._room = SharedRoom(self.limits.messages_bytes)
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._open_streams = 0
        self._watching: asyncio.Task[None] | None = None

    # what a caller of this port needs

    def add(self, *services: Service) -> None:
        """Serve these; before `start`."""
        for service in services:
            for name, method in service.methods.items():
                receiver = method.receiver or by_coroutine(method.handler)
                self.methods[f"/{service.name}/{name}"] = Served(method.room or self._room, receiver)

    async def start(self, host: str, port: int) -> int:
        """Listen; the real port. Raises RuntimeError where the address cannot be used."""
        loop = asyncio.get_running_loop()
        try:
            for one in await _listening(host, port, loop):
                self._servers.append(
                    await loop.create_server(
                        lambda: self._accepted(loop),
                        sock=one,
                        ssl=self._tls,
                        backlog=_BACKLOG,
                        ssl_handshake_timeout=None if self._tls is None else self.limits.greeting_seconds,
                    )
                )
        except OSError as error:
            raise RuntimeError(error.strerror or str(error)) from None
        self._watching = asyncio.create_task(self._watch(), name="watch connections")
        return int(self._servers[0].sockets[0].getsockname()[1])

    async def stop(self, grace_seconds: float | None) -> None:
        """Stop listening; calls that are open after the grace are ended."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.drain()
        loop = asyncio.get_running_loop()
        until = loop.time() + (grace_seconds or 0.0)
        while self._open_streams and loop.time() < until:
            await asyncio.sleep(_STOPPED_LOOK_SECONDS)
        for connection in list(self._connections):
            connection.end_calls()
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await asyncio.sleep(0)  # handlers that were cancelled end now

    @property
    def open_streams(self) -> int:
        """Calls under way."""
        return self._open_streams

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    # what its connections need

    def admit_stream(self) -> bool:
        if self._open_streams >= self.limits.streams:
            return False
        self._open_streams += 1
        return True

    def stream_ended(self) -> None:
        self._open_streams -= 1

    def connection_ended(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _accepted(self, loop: asyncio.AbstractEventLoop) -> Connection:
        if len(self._connections) >= self.limits.connections:
            self._make_room()
        connection = Connection(self, loop)
        self._connections.add(connection)
        return connection

    def _make_room(self) -> None:
        """The connection that has been idle longest goes, so that idle ones never keep others out."""
        idle = [(one.idle_since, one) for one in self._connections if one.idle_since is not None]
        if idle:
            min(idle, key=lambda pair: pair[0])[1].close()
        log.warning("there are %d connections: the longest idle one was ended", len(self._connections))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for connection in list(self._connections):
                connection.watch()


async def _listening(host: str, port: int, loop: asyncio.AbstractEventLoop) -> list[socket.socket]:
    """Sockets of all addresses of a host, all on the same port; `::` also takes IPv4. Raises OSError."""
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            bound = made[0].getsockname()[1] if made else port
            both = address[0] == "::" and socket.has_dualstack_ipv6()
            made.append(
                socket.create_server(
                    (address[0], bound), family=family, backlog=_BACKLOG, dualstack_ipv6=both
                )
            )
    except OSError:
        for one in made:
            one.close()
        raise
    return made
