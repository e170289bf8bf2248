"""The journal of limits and budgets: what was held and settled, one line each, on disk within a moment.

A file for each day and process, `usage-YYYYMMDD-PROCESS.jsonl`. Each line begins with the CRC-32 of its JSON,
so that one cut off by a crash is known. Lines are written and fsynced together, off the event loop.
"""

import asyncio
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from pilotage_extproc.accounting.claims import BudgetClaim
from pilotage_extproc.accounting.note import SettlingNote
from pilotage_extproc.accounting.used import Used, settlement

log = logging.getLogger(__name__)

_BATCH_SECONDS: Final = 0.05
_MOST_LINES: Final = 100_000
_PREFIX: Final = "usage-"
_SUFFIX: Final = ".jsonl"
_MODE: Final = 0o600
"""Of files: tenants, users and ids of keys stand in them."""
HELD: Final = "held"
SETTLED: Final = "settled"
ESTIMATED: Final = "estimated"
UNSENT: Final = "unsent"


class UsageLine(NamedTuple):
    """One settlement as the journal has it."""

    at: float
    """Seconds since the epoch."""
    id: str
    state: str
    """`settled`, or `estimated` until a settled one of the same id takes its place."""
    tenant: str
    team: str
    key: str
    user: str
    policy: str
    model: str
    upstream_model: str
    input_tokens: int
    cached_input_tokens: int
    cache_write_input_tokens: int
    output_tokens: int
    nano: int
    """Nano-dollars."""
    budgets: tuple[tuple[str, int, int, int], ...]
    """Account, begin and end of its period, nano-dollars."""


class JournalWriter:
    """Writes one process's journal; `run` it as a task."""

    def __init__(
        self,
        folder: Path,
        process: str,
        days: int,
        wall_clock: Callable[[], float] = time.time,
        *,
        holds: bool = True,
    ) -> None:
        """`holds` writes down what is held, too. Raises OSError where the folder cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._process, self._days = folder, process, days
        self._wall_clock, self._holds = wall_clock, holds
        self._lines: list[bytes] = []
        self._wake = asyncio.Event()
        self._day = ""
        self.lost = 0
        """Lines that could not be written."""

    def held(self, note: SettlingNote) -> None:
        """A request has been admitted."""
        if self._holds:
            self._add({"t": self._wall_clock(), "s": HELD, "note": note.encoded().decode()})

    def unsent(self, note: SettlingNote) -> None:
        """A request was never sent: it is held no more, and has used nothing."""
        if self._holds:
            self._add({"t": self._wall_clock(), "s": UNSENT, "id": note.hold.id})

    def settled(self, note: SettlingNote, found: Used) -> None:
        """What a request used was booked, or takes the place of its estimate."""
        spender, usage = note.spender, found.usage
        amounts = settlement(note, found).amounts
        budgets = [
            [claim.account, claim.period.start, claim.period.end, amount]
            for claim, amount in zip(note.hold.claims, amounts, strict=True)
            if isinstance(claim, BudgetClaim)
        ]
        self._add(
            {
                "t": self._wall_clock(),
                "s": SETTLED if found.exact else ESTIMATED,
                "id": note.hold.id,
                "who": [spender.tenant, spender.team, spender.key, spender.user],
                "what": [spender.policy, spender.model, found.upstream_model],
                "tokens": [
                    usage.input_tokens or 0,
                    usage.cached_input_tokens or 0,
                    usage.cache_write_input_tokens or 0,
                    usage.output_tokens or 0,
                ],
                "nano": found.nano,
                "budgets": budgets,
            }
        )

    async def run(self) -> None:
        """Until cancelled; what is left is written then."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(_BATCH_SECONDS)
                self._wake.clear()
                lines, self._lines = self._lines, []
                await loop.run_in_executor(None, self._write, lines)
        finally:
            self.flush()

    def flush(self) -> None:
        """Write what is left, at once; for a process that ends."""
        lines, self._lines = self._lines, []
        self._write(lines)

    def _add(self, value: dict[str, Any]) -> None:
        if len(self._lines) >= _MOST_LINES:
            self.lost += 1
            return
        self._lines.append(framed(orjson.dumps(value)))
        self._wake.set()

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        day = datetime.fromtimestamp(self._wall_clock(), UTC).strftime("%Y%m%d")
        path = self._folder / f"{_PREFIX}{day}-{self._process}{_SUFFIX}"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _MODE), "ab") as file:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
            if day != self._day:
                self._day = day
                self._sync_folder()
                self._delete_old()
        except OSError as error:
            self.lost += len(lines)
            log.error("the journal of limits and budgets cannot be written: %s", error)

    def _sync_folder(self) -> None:
        """A new file is there after a crash only when its folder has been written too."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _delete_old(self) -> None:
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        oldest = (now - timedelta(days=self._days)).strftime("%Y%m%d")
        for path in self._folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            if path.name[len(_PREFIX) :][:8] < oldest:
                with suppress(OSError):
                    path.unlink()


class Journal(NamedTuple):
    """What the journals of a folder say."""

    usage: dict[str, list[UsageLine]]
    """By process: settlements, each id once."""
    open: dict[str, SettlingNote]
    """Requests that were admitted and not settled, by id."""
    damaged: int
    """Lines that are not whole."""


def read_journals(folder: Path, since: float = 0.0) -> Journal:
    """All journals of a folder from a day on. Raises OSError; what is damaged is counted and left out."""
    held: dict[str, SettlingNote] = {}
    final: dict[str, tuple[str, UsageLine]] = {}
    unsent: set[str] = set()
    damaged = 0
    first = datetime.fromtimestamp(since, UTC).strftime("%Y%m%d")
    for path in sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}")):
        day, _, process = path.name[len(_PREFIX) : -len(_SUFFIX)].partition("-")
        if day < first:
            continue
        for text in _whole_lines(path):
            value = None if text is None else _parsed(text)
            if isinstance(value, SettlingNote):
                held[value.hold.id] = value
            elif isinstance(value, str):
                unsent.add(value)
            elif isinstance(value, UsageLine):
                before = final.get(value.id)
                if before is None or before[1].state == ESTIMATED:
                    final[value.id] = (process, value)
            else:
                damaged += 1
    usage: dict[str, list[UsageLine]] = {}
    for process, line in final.values():
        usage.setdefault(process, []).append(line)
    return Journal(
        usage, {key: note for key, note in held.items() if key not in final and key not in unsent}, damaged
    )


def framed(text: bytes) -> bytes:
    """A line with its checksum."""
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _whole_lines(path: Path) -> Iterator[bytes | None]:
    """The text of each line; None of one that is damaged."""
    with path.open("rb") as file:
        for line in file:
            checksum, _, text = line.removesuffix(b"\n").partition(b" ")
            yield text if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(text) else None


def _parsed(text: bytes) -> UsageLine | SettlingNote | str | None:
    """A settlement, a hold, or the id of a request that was never sent."""
    try:
        value = orjson.loads(text)
        if value["s"] == HELD:
            return SettlingNote.decoded(value["note"].encode())
        if value["s"] == UNSENT:
            return str(value["id"])
        budgets = tuple((account, start, end, nano) for account, start, end, nano in value["budgets"])
        who, what, tokens = value["who"], value["what"], value["tokens"]
        head = (value["t"], value["id"], value["s"])
        return UsageLine._make((*head, *who, *what, *tokens, value["nano"], budgets))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
