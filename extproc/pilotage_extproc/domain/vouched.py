"""What the gateway that asks says of a request's client: clients themselves cannot say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True, frozen=True)
class Vouched:
    """Read only where the settings have an identity that needs it."""

    source: str | None = None
    """IP address of the client's connection."""
    claims: Mapping[str, object] | None = None
    """Payload of a JSON web token that the gateway has verified; None where there was none."""


NOT_VOUCHED: Final = Vouched()
