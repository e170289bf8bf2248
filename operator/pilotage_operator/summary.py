"""What to look at first, out of all that is said of a resource. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pilotage_operator.conditions import Verdict

_MOST_TEXT: Final = 1200
_NO_SERVERS: Final = (
    "NoServers",
    "no pod matches its selector and it names no endpoint: nothing of it can be picked",
)
_NONE_READY = "none of its {total} servers takes requests: their pods are not ready, or they do not answer"


def summary(verdicts: Sequence[Verdict], columns: Mapping[str, Any]) -> dict[str, str]:
    """Fields of a status: the first condition that does not hold; else a pool without servers, or a warning.

    `columns` are the status's other fields.
    """
    return dict(zip(("reason", "message"), _first(verdicts, columns), strict=True))


def _first(verdicts: Sequence[Verdict], columns: Mapping[str, Any]) -> tuple[str, str]:
    for one in verdicts:
        if one.status != "True":
            return one.reason, one.message[:_MOST_TEXT]
    endpoints = columns.get("endpoints")
    if endpoints is not None and not endpoints["ready"]:
        total = endpoints["total"]
        return ("NoneReady", _NONE_READY.format(total=total)) if total else _NO_SERVERS
    told = next((one for one in verdicts if one.reason == "AcceptedWithWarnings"), verdicts[-1])
    return told.reason, told.message[:_MOST_TEXT]
