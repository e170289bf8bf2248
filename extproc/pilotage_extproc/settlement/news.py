"""What processes tell each other of failures and of load, as bytes: JSON, each entry of one kind.

An entry of a kind that is not known is passed over: a peer of the next version may tell more.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import msgspec
import orjson

from pilotage_extproc.domain.failed_attempt import FailedAttempt


@dataclass(slots=True, frozen=True)
class BreakerNews:
    """A breaker has opened or closed."""

    pool: str
    model: str
    seconds: float | None
    """How long it is open; None is closed."""


@dataclass(slots=True, frozen=True)
class EjectionNews:
    """A server is left alone."""

    address: str
    seconds: float


@dataclass(slots=True, frozen=True)
class LoadNews:
    """What a process has in flight, and who waits there."""

    process: str
    everything: bool
    """Else what has changed since the news before."""
    servers: dict[str, int]
    """Own requests in flight by address."""
    waiting: dict[str, tuple[int, float, dict[str, float]]]
    """Who waits, by pool: the highest priority, its minimum share, and weights by tenant."""
    charges: list[tuple[list[str], int, str, float]]
    """Service given since the news before: pools, priority, tenant, and how much over its weight."""


FailureNews = FailedAttempt | BreakerNews | EjectionNews
News = FailureNews | LoadNews

_KINDS: Final[dict[str, type[News]]] = {
    "failed": FailedAttempt,
    "breaker": BreakerNews,
    "ejection": EjectionNews,
    "load": LoadNews,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_FIELDS: Final = {kind: frozenset(field.name for field in fields(kind)) for kind in _KINDS.values()}


def encode_news(news: list[News]) -> bytes:
    """A batch."""
    return orjson.dumps([{"kind": _NAMES[type(one)], **asdict(one)} for one in news])


def decode_news(data: bytes) -> list[News]:
    """The batch again, without kinds that are not known. Raises ValueError on anything else."""
    try:
        entries = orjson.loads(data)
        return [_one(kind, entry) for entry in entries if (kind := _KINDS.get(entry["kind"])) is not None]
    except (orjson.JSONDecodeError, msgspec.ValidationError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"no batch of news: {error}") from error


def _one(kind: type[News], entry: dict[str, Any]) -> News:
    if kind is LoadNews:
        return msgspec.convert(entry, LoadNews)
    values = {name: value for name, value in entry.items() if name in _FIELDS[kind]}
    if "flags" in values:
        values["flags"] = tuple(values["flags"])
    return kind(**values)
