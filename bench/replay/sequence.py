"""The sequence: how requests come, and the time that the picker takes for each.

Time is wall-clock time of one thread in pieces of some ten microseconds. Of a request that is repeated, the
least is what it takes where nobody else has the processor: the same as CPU time, whose clock costs more than
what is measured.
"""

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final, Self

from bench.bodies import write_bodies
from bench.replay import messages
from bench.replay.picker import Wire, picker
from pilotage_extproc.transport import frames
from pilotage_extproc.transport.connection import Connection

OPEN: Final = 16
"""Requests in flight at a time."""
_READ_BYTES: Final = 64 << 10
"""Read from a socket at once."""
_LOG_STREAM: Final = 1
_REQUESTS: Final = 100
_LARGE_REQUESTS: Final = 40
_MOST_TURNS: Final = 1000


@dataclass(frozen=True)
class Case:
    """One kind of requests."""

    name: str
    body_bytes: int
    bundled: bool
    endpoints: int = 10


CASES: Final = (
    Case("2 KB, bundled", 2_000, bundled=True),
    Case("2 KB, full-duplex", 2_000, bundled=False),
    Case("220 KB, bundled", 220_000, bundled=True),
    Case("220 KB, full-duplex", 220_000, bundled=False),
    Case("2 KB, bundled, 1,000 endpoints", 2_000, bundled=True, endpoints=1000),
)


@dataclass(slots=True)
class Prepared:
    """The bytes of one request, without its stream's number."""

    head: bytes
    body: list[bytes]


class Replay:
    """One case, ready to be run again and again."""

    def __init__(self, case: Case, connection: Connection, wire: Wire, settled: Callable[[], float]) -> None:
        self._case = case
        self._connection = connection
        self._wire = wire
        self._settled = settled
        self._taken = 0.0
        blocks = messages.HeadBlocks()
        self._feed(messages.opened(_LOG_STREAM, blocks.access_log()))
        # the first block fills the table that all later ones refer to
        self._blocks = [blocks.ext_proc(bundled=case.bundled), blocks.ext_proc(bundled=case.bundled)]
        self._requests = _prepared(case)
        self._stream = _LOG_STREAM
        self._open: deque[bytes] = deque()

    @classmethod
    async def of(cls, case: Case) -> Self:
        """With a picker of its own."""
        return cls(case, *await picker(case.endpoints))

    async def run(self) -> list[float]:
        """The sequence once: seconds that the picker took, by request."""
        taken = []
        for request in self._requests:
            self._taken = 0.0
            await self._request(request)
            taken.append(self._taken)
        return taken

    async def open(self, count: int) -> None:
        """So many full-duplex requests whose streams stay open after the pick, as for their responses."""
        for number in range(count):
            await self._request(self._requests[number % len(self._requests)], ends=False)

    async def _request(self, request: Prepared, *, ends: bool = True) -> None:
        self._stream += 2
        stream, case = self._stream, self._case
        block = self._blocks.pop(0) if len(self._blocks) > 1 else self._blocks[0]
        head = messages.opened(stream, block) + messages.said(stream, request.head)
        body = b"".join([messages.said(stream, one) for one in request.body])
        if case.bundled:  # the body comes once the head has been answered
            self._feed(head)
            self._feed(body)
        else:
            self._feed(head + body)
        answers = await self._answers(stream)
        if case.bundled:
            self._open.append(messages.said(_LOG_STREAM, messages.log_entry(answers)))
            if len(self._open) > OPEN:
                await self._ends(self._open.popleft())
        elif ends:
            self._feed(frames.frame(frames.DATA, frames.END_STREAM, stream))

    async def _answers(self, stream: int) -> list[bytes]:
        """All answers of a stream, the pick among them."""
        found: list[bytes] = []
        for _ in range(_MOST_TURNS):
            found += self._wire.take(stream)
            if found and messages.is_last(found[-1], bundled=self._case.bundled):
                return found
            await self._turns(1)  # the rest is done in turns of the loop
        raise RuntimeError("a request was not placed")

    async def _ends(self, entry: bytes) -> None:
        """The access-log entry of a request comes."""
        before = self._settled()
        self._feed(entry)
        for _ in range(_MOST_TURNS):
            if self._settled() > before:
                return
            await self._turns(1)
        raise RuntimeError("a request was not settled")

    async def _turns(self, count: int) -> None:
        began = time.perf_counter()
        for _ in range(count):
            await asyncio.sleep(0)
        self._taken += time.perf_counter() - began

    def _feed(self, data: bytes) -> None:
        for at in range(0, len(data), _READ_BYTES):
            portion = data[at : at + _READ_BYTES]
            began = time.perf_counter()
            self._connection.data_received(portion)
            self._taken += time.perf_counter() - began


def least_mean(rounds: list[list[float]]) -> float:
    """The mean over all pieces of the least that each took in any round."""
    return fmean([min(taken) for taken in zip(*rounds, strict=True)])


def _prepared(case: Case) -> list[Prepared]:
    count = _REQUESTS if case.body_bytes < 10_000 else _LARGE_REQUESTS
    with tempfile.TemporaryDirectory(prefix="pilotage-bodies-") as folder:
        write_bodies(Path(folder), case.body_bytes, count)
        bodies = [Path(folder, f"{index}.json").read_bytes() for index in range(count)]
    return [
        Prepared(
            messages.request_head(len(body), bundled=case.bundled),
            [messages.request_body(body)] if case.bundled else messages.request_chunks(body),
        )
        for body in bodies
    ]
