"""What an explanation says of a list of attempts: their shape, who was passed over, and what failed."""

from collections.abc import Iterator
from typing import Any


def attempt_lines(explanation: dict[str, Any]) -> Iterator[str]:
    """Lines for people; none where nothing is out of the ordinary. Also of a picker of the version before."""
    queued = explanation.get("queuedSeconds")
    if queued is not None:
        yield f"queued   {queued:g} s until a server had room"
    for number, one in enumerate(explanation.get("attempts", ()), 1):
        yield from _shape(number, one)
    for one in explanation.get("passedOver", ()):
        where = "left out" if one["leftOut"] else "put last"
        yield f"passed   {one['model']}: {one['reason']}, {where}"
    limits = explanation.get("limits") or {}
    if limits.get("leadsOn") is not None:
        yield f"leads on {', '.join(limits['leadsOn'])}"
    times = (
        ("first token", "firstTokenSeconds"),
        ("each attempt", "attemptSeconds"),
        ("silence", "idleSeconds"),
        ("all of it", "leftSeconds"),
    )
    bounds = [f"{name} {limits[key]:g} s" for name, key in times if limits.get(key) is not None]
    if bounds:
        yield f"at most  {', '.join(bounds)}"
    for one in explanation.get("failedAttempts", ()):
        status = "no answer" if one["status"] is None else f"status {one['status']}"
        parts = [one["reason"] or "cut", status, *one["flags"]]
        if one["stayAwaySeconds"] is not None:
            parts.append(f"asks for {one['stayAwaySeconds']:g} s")
        yield f"failed   attempt {one['attempt'] or '?'} at {one['address']}: {', '.join(parts)}"


def _shape(number: int, attempt: dict[str, Any]) -> Iterator[str]:
    """How one attempt differs from what the client sent, beside the model's name."""
    parts = []
    transform = attempt.get("transform")
    if transform is not None:
        changed = ", ".join(transform["changed"]) or "nothing"
        parts.append(f"{transform['name']} changes {changed}")
    if attempt.get("translatedTo") is not None:
        parts.append(f"translated to {attempt['translatedTo']}")
    if parts:
        result = f" ({attempt['result']})" if attempt.get("result") else ""
        yield f"shape    attempt {number} at {attempt['address']}{result}: {'; '.join(parts)}"
