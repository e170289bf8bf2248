"""An order of models drawn by weight: splits and canaries."""

from collections.abc import Sequence

import xxhash

_SPAN = float(1 << 64)


def weighted_order(weights: Sequence[int], chances: Sequence[float]) -> list[int]:
    """An order of tiers drawn by weight, without replacement.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): sort by u^(1/w).
    A tier of weight 0 is only a fallback.
    """
    keys = [
        chance ** (1.0 / weight) if weight > 0 else -1.0
        for weight, chance in zip(weights, chances, strict=True)
    ]
    return sorted(range(len(weights)), key=lambda tier: keys[tier], reverse=True)


def sticky_chances(value: str, models: Sequence[str]) -> list[float]:
    """Numbers between 0 and 1, one a model, that are the same for the same value.

    A model's number does not depend on the others: where a weight changes or a model is added, only as
    many values move as must.
    """
    key = value.encode("utf-8", "surrogatepass")
    seeds = [xxhash.xxh3_64_intdigest(model.encode()) for model in models]
    return [(xxhash.xxh3_64_intdigest(key, seed) + 0.5) / _SPAN for seed in seeds]
