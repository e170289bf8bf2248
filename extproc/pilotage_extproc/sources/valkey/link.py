"""A connection to the server: what is asked for meanwhile goes out together with the next round trip."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage_api.store_settings import ValkeySettings
from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.sources.valkey.scripts import ALL, Script, command, packed

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

log = logging.getLogger(__name__)

_MOST_IN_A_BATCH: Final = 256
_MOST_WAITING: Final = 20_000


@dataclass(slots=True, eq=False)
class Call:
    """A script that is to run; `done` gets its reply in words, an error, or None if it may not have run."""

    script: Script
    keys: list[bytes]
    arguments: list[bytes]
    done: Callable[[Any], None]


class Link:
    """Runs scripts in order, in batches. After a failure it is away until the server has answered again."""

    def __init__(self, settings: ValkeySettings) -> None:
        """Raises StoreAway where the client library is not installed."""
        self._settings = settings
        self._waiting: deque[Call] = deque()
        self._wake = asyncio.Event()
        self._client, self._faults = _client(settings)
        self.why_away = "not connected yet"
        """Empty while the server answers."""

    def call(self, call: Call) -> None:
        """Run it with the next batch. Raises StoreAway where too many wait."""
        if len(self._waiting) >= _MOST_WAITING:
            raise StoreAway("too many requests wait for it")
        self.must_call(call)

    def must_call(self, call: Call) -> None:
        """The same for what has to run in the end, however many wait."""
        self._waiting.append(call)
        self._wake.set()

    async def round_trip(self, *calls: Call) -> None:
        """Run these at once, now. Raises StoreAway."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                replies = await self._execute(calls)
                if any(_unknown_script(reply) for reply in replies):
                    await self._load()
                    replies = await self._execute(calls)
        except self._faults as error:
            await self._lost(error)
            raise StoreAway(self.why_away) from error
        self._answered()
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, Exception):
                log.error("a script of the store failed: %s", reply)
            call.done(reply.split(b" ") if isinstance(reply, bytes) else reply)

    async def get(self, key: bytes) -> bytes | None:
        """A value. Raises StoreAway."""
        [value] = await self.get_many([key])
        return value or None

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes]:
        """Values; empty where there is none. Raises StoreAway."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                [values] = await self._exchange(command(b"MGET", *keys), 1)
        except self._faults as error:
            await self._lost(error)
            raise StoreAway(self.why_away) from error
        if isinstance(values, Exception):
            await self._lost(values)
            raise StoreAway(self.why_away) from values
        self._answered()
        return [value if isinstance(value, bytes) else b"" for value in values]

    async def run_waiting(self) -> None:
        """Run what waits, once; returns at once where nothing does. Raises StoreAway."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_IN_A_BATCH))]
        if not batch:
            return
        try:
            await self.round_trip(*batch)
        except StoreAway:
            for call in batch:
                call.done(None)
            raise

    def wake(self) -> None:
        """Something waits elsewhere."""
        self._wake.set()

    async def wait(self) -> None:
        """Until something waits."""
        await self._wake.wait()
        self._wake.clear()

    @property
    def waiting(self) -> int:
        """Calls that are to run."""
        return len(self._waiting)

    def fail_waiting(self) -> None:
        """Nothing of what waits is run."""
        while self._waiting:
            self._waiting.popleft().done(None)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _execute(self, calls: tuple[Call, ...]) -> list[Any]:
        commands = b"".join([packed(call.script, call.keys, call.arguments) for call in calls])
        return await self._exchange(commands, len(calls))

    async def _exchange(self, commands: bytes, count: int) -> list[Any]:
        """The replies to so many commands. A connection whose answer would come late is closed, no other."""
        pool = self._client.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(commands)
            return [await _reply(connection) for _ in range(count)]
        except BaseException:  # an answer that comes late belongs to nobody
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    async def _load(self) -> None:
        for script in ALL:
            await self._client.script_load(script.text)

    def _answered(self) -> None:
        if self.why_away:
            log.info("the store of limits and budgets answers")
        self.why_away = ""

    async def _lost(self, error: BaseException) -> None:
        why = str(error) or "no answer in time"
        if not self.why_away:
            log.warning("the store of limits and budgets is away: %s", why)
        self.why_away = why
        self.wake()  # whoever waits for work asks whether it answers again
        # what is under way on other connections goes on: one look that was late fails no admission
        await self._client.connection_pool.disconnect(inuse_connections=False)


def _client(settings: ValkeySettings) -> tuple["Redis", tuple[type[Exception], ...]]:
    """The client, and what it raises where the server is away."""
    try:
        from redis.asyncio import (  # noqa: PLC0415 - only where it is used
            BlockingConnectionPool,
            Connection,
            Redis,
            SSLConnection,
        )
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415
    except ImportError:
        raise StoreAway("governance.store.valkey needs the redis package: install pilotage[valkey]") from None
    host, _, port = settings.address.rpartition(":")
    tls: dict[str, Any] = {"ssl_ca_certs": settings.ca_file} if settings.tls else {}
    pool = BlockingConnectionPool(  # one that refuses a fifth caller would look like a server that is away
        max_connections=4,
        timeout=None,  # waits are bounded here: the client's own bounds can lose a cancellation
        connection_class=SSLConnection if settings.tls else Connection,
        host=host.strip("[]"),
        port=int(port),
        db=settings.database,
        username=settings.username,
        password=_password(settings.password_file),
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **tls,
    )
    client = Redis.from_pool(pool)
    return client, (RedisError, OSError, TimeoutError)


def _password(path: str | None) -> str | None:
    return None if path is None else Path(path).read_text().strip()


async def _reply(connection: "AbstractConnection") -> Any:
    """The next reply; of a script that failed its error."""
    from redis.exceptions import ResponseError  # noqa: PLC0415

    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _unknown_script(reply: object) -> bool:
    from redis.exceptions import NoScriptError  # noqa: PLC0415

    return isinstance(reply, NoScriptError)
