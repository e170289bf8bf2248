"""What became of a request: one per request, from Envoy's access log or from the response itself."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class TokenUsage:
    """Tokens as the engine counted them. None is "unknown", never 0."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None


@dataclass(slots=True)
class Outcome:
    """The end of a request; enough for any process to settle it or pass it to its owner."""

    decision_id: str
    """Empty when the request had no decision (refused, answered directly)."""
    http_status: int
    """0 when the client left before a response began."""
    upstream_address: str | None
    """`ip:port` that in fact answered."""
    attempts: int
    duration_seconds: float | None
    ttft_seconds: float | None
    """Request's first byte to the first byte of the response *body*: see protocol notes in docs."""
    response_flags: tuple[str, ...] = ()
    """Envoy's names, such as `upstream_connection_failure`."""
    usage: TokenUsage = TokenUsage()
    response_id: str | None = None
    """Id of a stored Responses object, to find its server again."""
    upstream_model: str | None = None


@dataclass(slots=True)
class Settled:
    """What settling found out about the pick."""

    known: bool
    """False when the decision is not (or no longer) open: a duplicate, or healed before."""
    against: str = "none"
    """Which endpoint answered against the pick: `first`, `fallback`, `other`, `none`."""
