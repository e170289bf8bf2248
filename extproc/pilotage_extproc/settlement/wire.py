"""Outcomes as bytes between sibling processes: JSON, versioned by the gRPC service's name."""

from dataclasses import asdict
from typing import Any

import orjson

from pilotage_extproc.domain.outcome import Outcome, TokenUsage


def encode_outcomes(outcomes: list[Outcome]) -> bytes:
    """A batch of outcomes."""
    return orjson.dumps([asdict(outcome) for outcome in outcomes])


def decode_outcomes(data: bytes) -> list[Outcome]:
    """The batch again. Raises ValueError (with what is wrong) on anything else."""
    try:
        entries = orjson.loads(data)
        return [_outcome(entry) for entry in entries]
    except (orjson.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"not a batch of outcomes: {error}") from error


def _outcome(entry: dict[str, Any]) -> Outcome:
    values = dict(entry)
    values["usage"] = TokenUsage(**values["usage"])
    values["response_flags"] = tuple(values["response_flags"])
    return Outcome(**values)
