"""What became of a request: one per request, from Envoy's access log or from the response itself."""

from dataclasses import dataclass
from typing import Final, Self

_TRUNCATING_FLAGS: Final = frozenset(
    {
        "upstream_connection_termination",
        "upstream_remote_reset",
        "upstream_protocol_error",
        "stream_idle_timeout",
        "local_reset",
    }
)
_UNREACHABLE_FLAG: Final = "upstream_connection_failure"
_CLIENT_LEFT_FLAGS: Final = frozenset({"downstream_connection_termination", "downstream_remote_reset"})


@dataclass(slots=True, frozen=True)
class TokenUsage:
    """Tokens as the engine counted them. None is "unknown", never 0."""

    input_tokens: int | None = None
    """The whole prompt, cached tokens included, whichever way the API counts them."""
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Read from a prefix cache."""
    cache_write_input_tokens: int | None = None
    """Written to a prefix cache at a price (Anthropic's `cache_creation_input_tokens`)."""
    reasoning_tokens: int | None = None
    """Of the output: those spent on thinking."""
    cache_write_hour_input_tokens: int | None = None
    """Of those written to a prefix cache: what stays there for an hour, at a price of its own."""
    audio_input_tokens: int | None = None
    """Of the input: sound."""
    audio_output_tokens: int | None = None
    """Of the output: sound."""


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
    stream_error: int | None = None
    """HTTP status that an error event in a stream stands for: its own status was sent before, mostly 200."""
    attempt_ttft_seconds: float | None = None
    """Of the attempt that answered: from the request's last byte to the first byte of the response body."""
    attempt_body_seconds: float | None = None
    """Of that attempt: from there to the response's last byte."""
    conversation: int | None = None
    """Digest of a conversation that is with `upstream_model` now; of an outcome that says only that."""
    translation: tuple[str, ...] = ()
    """What a translation for the provider that answered left out: names of fields, never their text."""
    answer_content: tuple[str, ...] = ()
    """What rules on content found in the answer: `detector:action:count`, never values."""
    answer_cut: bool = False
    """Whether rules on content were to look at the answer, and did not come to its end."""
    counted_output: int | None = None
    """Pieces of output that Envoy counted in a stream; asked for where the answer is paid for."""
    ended_at: int | None = None
    """Pieces of output after which Envoy ended a stream: it went on past what its hard budget held."""
    holder: str | None = None
    """Whose the stored response is: `Identity.holder` of who made it."""
    given_up: bool = False
    """Whether nobody knows how the request ended: its end was not seen in time."""

    @classmethod
    def unknown(cls, decision_id: str) -> Self:
        """Of a request whose end was not seen in time."""
        return cls(decision_id, 0, None, 0, None, None, given_up=True)

    @classmethod
    def answered(cls, http_status: int) -> Self:
        """Of a request that the gateway answered or refused itself."""
        return cls("", http_status, None, 0, None, None)

    @classmethod
    def abandoned(cls) -> Self:
        """Of a request whose client left before a decision."""
        return cls("", 0, None, 0, None, None)

    @property
    def withheld(self) -> bool:
        """Whether rules on content kept some of the answer from its client."""
        return any(one.split(":")[1] in ("block", "redact") for one in self.answer_content)

    @property
    def status(self) -> int:
        """HTTP status of the request as a whole: of an error event where a stream had one."""
        if self.stream_error is not None and self.http_status < 400:
            return self.stream_error
        return self.http_status

    @property
    def result(self) -> str:
        """How the request ended: ok, truncated, client_gone, client_error, server_error, unknown."""
        flags = self.response_flags
        if self.given_up:
            return "unknown"
        left = self.http_status == 0 or (flags and not _CLIENT_LEFT_FLAGS.isdisjoint(flags))
        if left and self.stream_error is None:  # clients close a stream when they read an error in it
            return "client_gone"
        status = self.status
        if status >= 500:
            return "server_error"
        if status >= 400:
            return "client_error"
        return "truncated" if flags and not _TRUNCATING_FLAGS.isdisjoint(flags) else "ok"

    @property
    def unreachable(self) -> bool:
        """Whether no server could be connected to."""
        return _UNREACHABLE_FLAG in self.response_flags


@dataclass(slots=True)
class Settled:
    """What settling found out about the pick."""

    known: bool
    """False when the decision is not (or no longer) known: a duplicate, or another process's."""
    late: bool = False
    """Whether the request had been given up before."""
    against: str = "none"
    """Which endpoint answered against the pick: `first`, `fallback`, `other`, `none`."""
