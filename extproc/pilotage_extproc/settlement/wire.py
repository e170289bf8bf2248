"""Outcomes as bytes between peer processes: JSON, versioned by the gRPC service's name."""

from dataclasses import MISSING, fields
from typing import Any, Final

import orjson

from pilotage_extproc.domain.outcome import Outcome, TokenUsage

_FIELDS: Final = frozenset(field.name for field in fields(Outcome))
_USAGE_FIELDS: Final = frozenset(field.name for field in fields(TokenUsage))
_OPTIONAL: Final = tuple([field.name for field in fields(Outcome) if field.default is not MISSING])
_REQUIRED: Final = tuple([field.name for field in fields(Outcome) if field.default is MISSING])
_LISTS: Final = frozenset({"answer_content", "response_flags", "translation"})


def encode_outcomes(outcomes: list[Outcome]) -> bytes:
    """A batch of outcomes. What is unknown is left out, so that a peer of another version can read it."""
    return orjson.dumps([_known(outcome) for outcome in outcomes])


def decode_outcomes(data: bytes) -> list[Outcome]:
    """The batch again. Raises ValueError (with what is wrong) on anything else."""
    try:
        entries = orjson.loads(data)
        return [_outcome(entry) for entry in entries]
    except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"not a batch of outcomes: {error}") from error


def _outcome(entry: dict[str, Any]) -> Outcome:
    values = {name: value for name, value in entry.items() if name in _FIELDS}
    usage = {name: value for name, value in values["usage"].items() if name in _USAGE_FIELDS}
    values["usage"] = TokenUsage(**usage)
    for name in _LISTS & values.keys():
        values[name] = tuple(values[name])
    return Outcome(**values)


def _known(outcome: Outcome) -> dict[str, Any]:
    usage = outcome.usage
    entry: dict[str, Any] = {name: getattr(outcome, name) for name in _REQUIRED}
    for name in _OPTIONAL:
        value = getattr(outcome, name)
        if value is not None:
            entry[name] = value
    entry["usage"] = {name: value for name in _USAGE_FIELDS if (value := getattr(usage, name)) is not None}
    return entry
