"""What a translation needs to know of the provider's model."""

from typing import NamedTuple


class ModelFacts(NamedTuple):
    """Of the pool's `models[]`."""

    model: str
    """The provider's name of it."""
    max_output_tokens: int | None = None
    reasoning: bool = False
    """Whether its capabilities name reasoning."""
    most_stops: int | None = None
    """Stop sequences that the provider takes; None is not known."""
