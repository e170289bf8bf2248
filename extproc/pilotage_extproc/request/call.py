"""Which call a request is, once its head has been read."""

from typing import NamedTuple

from pilotage_extproc.domain.head import CallKind


class Call(NamedTuple):
    """What method and path say of a request."""

    kind: CallKind
    path: str
    """Without its query, as engines know it."""
    written_path: str
    """With its query, as the client wrote it."""
    response_id: str | None = None
    """Of a call on a stored response."""
    forward_pool: str | None = None
    """`namespace/name` of the pool that gets a call which is not ours to understand."""

    def path_to_send(self) -> str | None:
        """The path as engines know it, with the query, where the client spelt it otherwise; else None.

        Of inference calls only: what was decided for a chat must be one to the server too.
        """
        target = self.written_path
        if target == self.path or self.kind in (CallKind.OTHER, CallKind.RESPONSE_OBJECT):
            return None
        written, mark, query = target.partition("?")
        return None if written == self.path else f"{self.path}{mark}{query}"
