"""What can be wrong with a simulated server, switchable while it runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final


class MetricsFault(StrEnum):
    """What its metrics page does."""

    OK = "ok"
    STALL = "stall"
    """Accepts the request and never answers."""
    GARBAGE = "garbage"
    ENDLESS = "endless"
    """Answers without end."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_VALUES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "slow": (lambda value: _is_number(value) and value >= 0, "a factor from 0"),
    "error_rate": (lambda value: _is_number(value) and 0 <= value <= 1, "a share from 0 to 1"),
    "status": (
        lambda value: value is None or (type(value) is int and 400 <= value <= 599),
        "a status from 400 to 599, or null",
    ),
    "retry_after_seconds": (
        lambda value: value is None or (type(value) is int and value >= 0),
        "whole seconds from 0, or null",
    ),
    "die_while_queued": (lambda value: isinstance(value, bool), "true or false"),
    "die_after_tokens": (
        lambda value: value is None or (type(value) is int and value >= 0),
        "a count from 0, or null",
    ),
    "metrics": (lambda value: value in list(MetricsFault), f"one of {', '.join(MetricsFault)}"),
}


@dataclass(slots=True)
class Faults:
    """All faults of one server; the defaults are none."""

    slow: float = 1.0
    """Every step takes so many times longer."""
    error_rate: float = 0.0
    """Share of inference requests that are answered 500."""
    status: int | None = None
    """Every inference request is answered with this error."""
    retry_after_seconds: int | None = None
    """What those answers say in `Retry-After`."""
    die_while_queued: bool = False
    """Connections of requests that have no token yet are reset."""
    die_after_tokens: int | None = None
    """Connections are reset after so many tokens of an answer."""
    metrics: MetricsFault = MetricsFault.OK

    def update(self, values: dict[str, Any]) -> None:
        """Set some. Raises ValueError for an unknown fault or value; then none is set."""
        if not isinstance(values, dict):
            raise ValueError("write an object of faults and values")
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"unknown fault {name!r}; known: {', '.join(sorted(known))}")
            fits, wanted = _VALUES[name]
            if not fits(value):
                raise ValueError(f"{name} must be {wanted}, not {value!r}")
        for name, value in values.items():
            setattr(self, name, MetricsFault(value) if name == "metrics" else value)
