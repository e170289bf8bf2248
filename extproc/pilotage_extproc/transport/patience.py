"""How much of what brings nothing is borne of one caller."""

from collections.abc import Callable

from pilotage_extproc.transport.frames import Code, ConnectionFault
from pilotage_extproc.transport.limits import Bucket, Limits

_FRAMES_A_CALL = 10


class Patience:
    """Counts frames that bring nothing and streams that end at once; answered calls make up for both."""

    __slots__ = ("_early", "_idle", "tried")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._early = Bucket(limits.early_resets, limits.early_resets_a_second, clock)
        self._idle = Bucket(limits.idle_frames, limits.idle_frames_a_second, clock)
        self.tried = False
        """Whether there is something to make up for."""

    def idle_frame(self, weight: float = 1.0) -> None:
        """A frame that brought nothing. Raises ConnectionFault where there were too many."""
        self.tried = True
        if not self._idle.take(weight):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that bring nothing")

    def ended_early(self) -> None:
        """A stream that ended before anything was answered. Raises ConnectionFault."""
        self.tried = True
        if not self._early.take():
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many streams that end at once")

    def answered(self) -> None:
        """A call that was worth it."""
        self.tried = not (self._early.give() & self._idle.give(_FRAMES_A_CALL))
