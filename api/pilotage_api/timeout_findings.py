"""Times of a rule that never pass."""

from typing import Final

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.scheduling import seconds
from pilotage_api.timeouts import Timeouts

_SHORTER_FIRST: Final = ("idle", "total")


def find_in_timeouts(timeouts: Timeouts | None, key: ResourceKey, path: str, find: Find) -> None:
    """A wait for the first token, or a silence, that another bound ends before."""
    if timeouts is None:
        return
    given = {"firstToken": timeouts.first_token, "idle": timeouts.idle, "total": timeouts.total}
    known = {field: seconds(value) for field, value in given.items() if value is not None}
    for field, bounds in (("firstToken", _SHORTER_FIRST), ("idle", _SHORTER_FIRST[1:])):
        for bound in bounds:
            if field in known and bound in known and known[field] >= known[bound]:
                message = f"has no effect: {bound} ends the request before"
                fix = f"make it shorter than {bound}, or remove it"
                find(Severity.WARNING, "no-effect", message, key, f"{path}.{field}", fix)
                break
