"""One try of a request: how it is spoken to, whatever endpoint it goes to."""

from typing import NamedTuple

from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.dialects.output_budget import OutputBudget
from pilotage_extproc.dialects.transform.transform import Transform


class Attempt(NamedTuple):
    """What one try changes in a request, whatever endpoint it goes to."""

    pool: str
    """`namespace/name`."""
    upstream_model: str
    engine: Engine
    stream_usage: StreamUsage
    transform: Transform | None = None
    """What its policy changes in requests for its model."""
    budget: OutputBudget | None = None
    """How long an answer it asks for; None leaves that to the client."""

    @classmethod
    def at(
        cls,
        pool: PoolSnapshot,
        upstream_model: str,
        transform: Transform | None = None,
        budget: OutputBudget | None = None,
    ) -> "Attempt":
        """At any endpoint of a pool, under this model name."""
        return cls(pool.key, upstream_model, pool.engine, pool.stream_usage, transform, budget)

    @property
    def shape(self) -> "Shape":
        """What it changes in a request beside the model's name, the budget first."""
        return self.budget, self.transform

    def takes_body_of(self, other: "Attempt") -> bool:
        """Whether the body that is made for the other one does for this one too."""
        return self.upstream_model == other.upstream_model and self.shape == other.shape


Shape = tuple[OutputBudget | None, Transform | None]
