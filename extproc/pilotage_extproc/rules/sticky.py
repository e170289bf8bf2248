"""Draws by weight that come out the same for the same header value."""

from collections.abc import Sequence
from typing import Final

import xxhash

_RANGE: Final = float(1 << 64)


def sticky_chances(value: str, models: Sequence[str]) -> list[float]:
    """For each model a number in (0, 1] that depends on it and the value alone, as `weighted_order` takes it.

    Rendezvous hashing: where a weight grows, only requests that go to that model then change their first.
    """
    seed = xxhash.xxh3_64_intdigest(value.encode(errors="replace"))
    return [(xxhash.xxh3_64_intdigest(model.encode(), seed) + 1) / _RANGE for model in models]
