"""Which headers of a client a policy can match on: what Envoy does to them before the picker sees them.

Found by sending each to the bundled Envoy (tests/envoy/test_envoy_headers.py repeats it).
"""

from dataclasses import dataclass
from typing import Final

from pilotage_api.calls import is_dropped

HOST: Final = "host"
"""Arrives as `:authority`, and is matched as that."""
HOP_BY_HOP: Final = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
"""Of one connection, and not passed on (RFC 9110, section 7.6.1)."""
OWN_FIX: Final = "match a header of your own"


@dataclass(slots=True, frozen=True)
class Obstacle:
    """Why a header, or a value of it, is never seen."""

    message: str
    fix: str


_DROPPED: Final = Obstacle(
    "the bundled Envoy drops this header of clients, so the policy never applies there", OWN_FIX
)
_OF_CONNECTION: Final = Obstacle(
    "this header belongs to the client's connection and is not passed on: the policy never applies", OWN_FIX
)
_TRAILERS_ONLY: Final = Obstacle("Envoy passes on no value of this header but trailers", OWN_FIX)
_ANSWERED: Final = Obstacle("Envoy answers 100-continue itself and passes it on to nobody", OWN_FIX)
_WRITTEN: Final = Obstacle(
    "the bundled Envoy writes this header itself: it says how clients reach Envoy, the same for all of them, "
    "whatever a client sends",
    f"{OWN_FIX}, set by what stands before Envoy",
)


def obstacle(name: str, value: str | None) -> Obstacle | None:
    """Why no request matches this header, given in any case, with this value (None is any); else None."""
    name = name.lower()
    if is_dropped(name) or name == "x-forwarded-client-cert":
        return _DROPPED
    if name in HOP_BY_HOP:
        return _OF_CONNECTION
    if name == "te":
        return None if value in (None, "trailers") else _TRAILERS_ONLY
    if name == "expect":
        return _ANSWERED if value is None or value.lower() == "100-continue" else None
    return _WRITTEN if name == "x-forwarded-proto" and value is not None else None
