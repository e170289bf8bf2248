"""A bound on the bytes of all request bodies one process holds at once."""

from pilotage_extproc.domain.errors import Refusal, RequestRefused


class BodyBudget:
    """Counts bytes held; a request that would pass the bound is refused, none waits."""

    def __init__(self, *, max_bytes: int, max_total_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self.held_bytes = 0

    def take(self, chunk_bytes: int, *, body_bytes: int) -> None:
        """Hold `chunk_bytes` more for a body that is then `body_bytes` long.

        Raises RequestRefused: 413 where the body is too large, 503 where all together are.
        """
        if body_bytes > self._max_bytes:
            raise RequestRefused(
                Refusal.BODY_TOO_LARGE,
                f"The request body is larger than the {self._max_bytes} bytes this gateway accepts.",
            )
        if self.held_bytes + chunk_bytes > self._max_total_bytes:
            raise RequestRefused(
                Refusal.OVERLOADED,
                "The gateway holds too many large request bodies; try again.",
                retry_after_seconds=1,
            )
        self.held_bytes += chunk_bytes

    def release(self, body_bytes: int) -> None:
        """The body is no longer held."""
        self.held_bytes -= body_bytes
