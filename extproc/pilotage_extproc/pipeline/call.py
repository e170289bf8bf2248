"""A call between its head and its placement."""

from dataclasses import dataclass

from pilotage_extproc.domain.request import CallKind, RequestHead


@dataclass(slots=True)
class Call:
    """A request whose head has been identified."""

    head: RequestHead
    kind: CallKind
    path: str
    """Without its query."""
    response_id: str | None = None
    """Of a call on a stored response."""
    forward_pool: str | None = None
    """`namespace/name` of the pool that gets a call which is not ours to understand."""
