"""How much of a prompt is written to a model's cache at a price, by rule and model: learned from usage.

Whether a provider writes depends on marks in the request and on rules of its own (Anthropic's
`cache_creation_input_tokens`), so what it has reported lately is the best that is known.
"""

from collections import OrderedDict
from typing import Final

_FADING: Final = 0.98
"""What one more answer leaves of what was known: the last fifty or so count."""
_MOST_KEYS: Final = 4096


class CacheWriteBook:
    """Shares by rule and upstream model; those least recently learned of are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        """Tokens that were not read from a cache, and those of them that were written to one."""

    def share(self, rule: str, upstream_model: str) -> float:
        """Of input that is not cached, the part that will be written; 0 where nothing is known."""
        uncached, written = self._known.get((rule, upstream_model), (0.0, 0.0))
        return written / uncached if uncached else 0.0

    def observe(self, rule: str, upstream_model: str, uncached: int, written: int) -> None:
        """An answer told of so many tokens that were not read from a cache, and how many were written."""
        if uncached <= 0:
            return
        before = self._known.pop((rule, upstream_model), (0.0, 0.0))
        self._known[rule, upstream_model] = (
            before[0] * _FADING + uncached,
            before[1] * _FADING + min(written, uncached),
        )
        if len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)
