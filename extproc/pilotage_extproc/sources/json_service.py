"""A service over HTTP that is posted JSON and answers with JSON, and is left alone while it fails.

Nothing it answers is followed or trusted: no redirects, no compression, no more bytes than are read.
"""

import logging
import math
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import aiohttp
import orjson

from pilotage_extproc.domain.clock import Clock

log = logging.getLogger(__name__)

FAILURES_TO_OPEN: Final = 5
"""In a row; then nothing is asked for a while."""
OPEN_SECONDS: Final = 10.0
"""Afterwards one call tries again; the others wait for what it finds."""
_HEADERS: Final = {"content-type": "application/json", "accept-encoding": "identity"}
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

T = TypeVar("T")


class ServiceError(Exception):
    """It did not answer in time, or not as it should. Holds nothing of what was sent or answered."""


class LeftAloneError(ServiceError):
    """It was not asked, since it failed again and again."""


class LateError(ServiceError):
    """It did not answer in time."""


class JsonService:
    """One service. Its address is the configuration's; nothing of a request is in it."""

    def __init__(
        self,
        what: str,
        url: str,
        timeout_seconds: float,
        clock: Clock,
        *,
        most_answer_bytes: int,
        connector: Callable[[], aiohttp.BaseConnector] | None = None,
    ) -> None:
        """`what` is the service's name in logs; `connector` makes what connects, at the first call."""
        self._what = what
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._most_answer_bytes = most_answer_bytes
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None
        self._failures = 0
        self._open_until = -math.inf

    @property
    def is_left_alone(self) -> bool:
        """Whether it would not be asked now."""
        return self._clock() < self._open_until

    async def post(
        self,
        body: bytes,
        read: Callable[[Any], T],
        headers: Mapping[str, str] = _NO_HEADERS,
        tls: ssl.SSLContext | bool = True,
    ) -> T:
        """What `read` makes of the answer, once it has come. Raises ServiceError.

        `read` raises ValueError for an answer that is not as it should be; `headers` are further ones; `tls`
        is what certificates are checked by, and True the system's authorities.
        """
        if self.is_left_alone:
            raise LeftAloneError("is left alone: it failed again and again")
        if self._failures >= FAILURES_TO_OPEN:
            self._open_until = self._clock() + OPEN_SECONDS  # for all but this call
        try:
            answered = read(orjson.loads(await self._answer(body, headers, tls)))
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            why = f"status {error}" if isinstance(error, _StatusError) else type(error).__name__
            self._failed(why)
            kind = LateError if isinstance(error, TimeoutError) else ServiceError
            raise kind(f"did not answer as it should ({why})") from None
        self._failures, self._open_until = 0, -math.inf
        return answered

    async def _answer(self, body: bytes, headers: Mapping[str, str], tls: ssl.SSLContext | bool) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=None if self._connector is None else self._connector(),
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        most = self._most_answer_bytes
        async with self._session.post(
            self._url, data=body, headers={**headers, **_HEADERS}, allow_redirects=False, ssl=tls
        ) as response:
            if response.status != 200:
                raise _StatusError(response.status)
            answer = b""
            while len(answer) <= most and (piece := await response.content.read(most + 1 - len(answer))):
                answer += piece
            if len(answer) > most:
                response.close()
                raise ValueError("too long")
        return answer

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures == FAILURES_TO_OPEN:
            extra = {"service": self._what, "error": why, "seconds": OPEN_SECONDS}
            log.warning("a service over HTTP is left alone: it failed again and again", extra=extra)
        if self._failures >= FAILURES_TO_OPEN:
            self._open_until = self._clock() + OPEN_SECONDS

    async def close(self) -> None:
        """End what is under way."""
        if self._session is not None:
            await self._session.close()


class _StatusError(ValueError):
    """A status that is not 200."""
