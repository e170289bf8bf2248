"""Where requests go when a rule's candidates cannot take them, and for which reasons."""

from enum import StrEnum
from typing import Final

from pydantic import Field

from pilotage_api.resource import UNIQUE, Block, ModelName, unique_by


class FallbackReason(StrEnum):
    """Why a request goes on to the next of its list."""

    UNAVAILABLE = "unavailable"
    """No server of the model may be picked."""
    SATURATED = "saturated"
    """All servers of the model are full as their pool defines it."""
    UNHEALTHY = "unhealthy"
    """All servers of the model fail, or are kept away from by a circuit breaker."""
    CONTEXT_OVERFLOW = "contextOverflow"
    """The prompt is longer than the model takes: by estimate, or because its server says so."""
    CAPABILITY = "capability"
    """The request has what the model cannot do: tools, images, a JSON schema."""
    BUDGET = "budget"
    """A budget for the model is spent."""
    CONNECT = "connect"
    """The server could not be connected to."""
    SERVER_ERROR = "serverError"
    """The server answered 5xx, or broke off before its first byte."""
    RATE_LIMITED = "rateLimited"
    """The server answered 429 or 529."""
    AUTH = "auth"
    """The server answered 401 or 403."""
    QUOTA = "quota"
    """The server answered 402."""
    NOT_FOUND = "notFound"
    """The server answered 404: it does not have the model."""
    FIRST_TOKEN = "firstToken"  # noqa: S105 - a reason
    """The first token of a stream did not come within `timeouts.firstToken`."""


AT_DECISION: Final = frozenset(
    {
        FallbackReason.UNAVAILABLE,
        FallbackReason.SATURATED,
        FallbackReason.UNHEALTHY,
        FallbackReason.CONTEXT_OVERFLOW,
        FallbackReason.CAPABILITY,
        FallbackReason.BUDGET,
    }
)
"""Known before anything is sent: these shape the list."""
AT_ATTEMPT: Final = frozenset(
    {
        FallbackReason.CONNECT,
        FallbackReason.SERVER_ERROR,
        FallbackReason.RATE_LIMITED,
        FallbackReason.AUTH,
        FallbackReason.QUOTA,
        FallbackReason.NOT_FOUND,
        FallbackReason.FIRST_TOKEN,
        FallbackReason.CONTEXT_OVERFLOW,
    }
)
"""Known from what an attempt came to: these lead from one entry of the list to the next."""


class FallbackModel(Block):
    """A model that requests fall back to."""

    model: ModelName
    """A model, alias or adapter of a pool this policy may use."""


class Fallback(Block):
    """Models beside the candidates, and the reasons for which requests go there."""

    reasons: list[FallbackReason] = Field(min_length=1, max_length=16, json_schema_extra=UNIQUE)
    """Known at the decision: `unavailable`, `saturated`, `unhealthy`, `contextOverflow`, `capability`,
    `budget`. Of an attempt: `connect`, `serverError`, `rateLimited`, `auth`, `quota`, `notFound`,
    `firstToken`, `contextOverflow` (docs/fallback.md)."""
    to: list[FallbackModel] = Field(min_length=1, max_length=8, json_schema_extra=unique_by("model"))
    """In order; each keeps a place in the list of attempts."""
