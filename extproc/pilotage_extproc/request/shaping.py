"""What a policy changes in the body of each attempt, known from the pick until it is on its way."""

from typing import NamedTuple

from pilotage_extproc.dialects.transform.transform import Transform


class Shaping(NamedTuple):
    """Of one attempt."""

    transform: Transform
    changed: tuple[str, ...]
    """What it changes in this request: `systemPrompt`, and names of parameters."""


Shapings = tuple[Shaping | None, ...]
"""One for each target of a decision, None where it is left as it is; empty where no policy changes any."""


def limit_sent(shapings: Shapings, own: int | None) -> int | None:
    """The most output that any attempt asks for; `own` is the client's limit, None is no limit."""
    if not shapings:
        return own
    limits = {own if one is None else one.transform.output_limit(own) for one in shapings}
    return max((limit for limit in limits if limit is not None), default=None) if None not in limits else None
