"""A call between its head and its placement."""

from dataclasses import dataclass

from pilotage_extproc.domain.head import CallKind, RequestHead


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

    def path_to_send(self) -> str | None:
        """The path as engines know it, with the query, where the client spelt it otherwise; else None.

        Of inference calls only: what was decided for a chat must be one to the server too.
        """
        target = self.head.path
        if target == self.path or self.kind in (CallKind.OTHER, CallKind.RESPONSE_OBJECT):
            return None
        written, mark, query = target.partition("?")
        return None if written == self.path else f"{self.path}{mark}{query}"
