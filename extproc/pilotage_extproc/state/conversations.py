"""Which model each conversation had last, by a digest of what tells it apart."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_MOST: Final = 100_000
_IDLE_SECONDS: Final = 3600.0
"""What is idle for longer has no cache left anywhere that would be worth staying for."""

Tell = Callable[[int, str], None]


class Conversations:
    """The least recently used are dropped, and so are those that have been idle for an hour."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._models: OrderedDict[int, tuple[str, float]] = OrderedDict()
        self._tell: Tell = _nobody

    def __len__(self) -> int:
        return len(self._models)

    def tell(self, tell: Tell) -> None:
        """Call this with each conversation that begins here, or changes its model."""
        self._tell = tell

    def model_of(self, key: int, now: float) -> str | None:
        """The model of its last request; None where that is not known or long ago."""
        known = self._models.get(key)
        if known is None or now - known[1] > _IDLE_SECONDS:
            return None
        return known[0]

    def placed(self, key: int, model: str, now: float) -> None:
        """A request of it goes to a model."""
        known = self._models.get(key)
        self.learned(key, model, now)
        if known is None or known[0] != model:
            self._tell(key, model)

    def learned(self, key: int, model: str, now: float) -> None:
        """A peer says the same; nobody is told."""
        self._models[key] = (model, now)
        self._models.move_to_end(key)
        if len(self._models) > self._most:
            self._models.popitem(last=False)


def _nobody(_key: int, _model: str) -> None:
    """There are no peers."""
