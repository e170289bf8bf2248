"""What can be wrong with a simulated server, switchable while it runs."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class MetricsFault(StrEnum):
    """What its metrics page does."""

    OK = "ok"
    STALL = "stall"
    """Accepts the request and never answers."""
    GARBAGE = "garbage"
    ENDLESS = "endless"
    """Answers without end."""


@dataclass(slots=True)
class Faults:
    """All faults of one server; the defaults are none."""

    slow: float = 1.0
    """Every step takes so many times longer."""
    error_rate: float = 0.0
    """Share of inference requests that are answered 500."""
    refuse: bool = False
    """The listening socket is closed."""
    die_while_queued: bool = False
    """Connections of requests that have no token yet are reset."""
    die_after_tokens: int | None = None
    """Connections are reset after so many tokens of an answer."""
    metrics: MetricsFault = MetricsFault.OK

    def update(self, values: dict[str, Any]) -> None:
        """Set some. Raises ValueError for an unknown fault or value."""
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"unknown fault {name!r}; known: {', '.join(sorted(known))}")
            setattr(self, name, MetricsFault(value) if name == "metrics" else value)
