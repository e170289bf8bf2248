"""What processes tell each other of failures, as bytes: JSON, each entry of one kind.

An entry of a kind that is not known is passed over: a peer of the next version may tell more.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

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


News = FailedAttempt | BreakerNews | EjectionNews

_KINDS: Final[dict[str, type[FailedAttempt] | type[BreakerNews] | type[EjectionNews]]] = {
    "failed": FailedAttempt,
    "breaker": BreakerNews,
    "ejection": EjectionNews,
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
    except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"no batch of news: {error}") from error


def _one(kind: type[News], entry: dict[str, Any]) -> News:
    values = {name: value for name, value in entry.items() if name in _FIELDS[kind]}
    if "flags" in values:
        values["flags"] = tuple(values["flags"])
    return kind(**values)
