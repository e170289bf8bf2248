"""Names of time zones."""

import difflib
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import StringConstraints

TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]+$", max_length=64)]
"""An IANA name, such as `Europe/Berlin`."""


def time_zone_problem(name: str) -> str | None:
    """The fix for a name that no time zone has; None where one has it."""
    if name == "UTC":
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name[:64], sorted(available_timezones()), n=1)
        return f"did you mean {near[0]!r}?" if near else "write a name such as Europe/Berlin"
    return None
