"""How a rule compares its candidates, as extproc gets it."""

from decimal import Decimal
from enum import StrEnum

from pilotage_api.facts_snapshot import Enforcement
from pilotage_api.part import Part


class WhenNone(StrEnum):
    """What becomes of a request for which no candidate keeps floor and ceilings."""

    REFUSE = "refuse"
    BEST = "best"


class CeilingsSnapshot(Part):
    """Most money and time for one request; None is no bound."""

    usd_per_request: Decimal | None = None
    ttft_seconds: float | None = None
    tpot_seconds: float | None = None
    quantile: float = 0.9
    when_none: WhenNone = WhenNone.BEST


class StrongGainSnapshot(Part):
    """The models of a rule between which a prompt's expected gain is counted, as the rule names them."""

    weak: str
    strong: str


class ObjectiveSnapshot(Part):
    """How a rule's candidates are compared."""

    quality_weight: int = 0
    cost_weight: int = 0
    latency_weight: int = 0
    reference_usd: Decimal | None = None
    """There where costs are weighed."""
    reference_seconds: float | None = None
    """There where latency is weighed."""
    least_quality: float | None = None
    ceilings: CeilingsSnapshot = CeilingsSnapshot()
    strong_gain: StrongGainSnapshot | None = None


class BudgetSnapshot(Part):
    """Levels of output tokens, rising."""

    levels: tuple[int, ...]
    enforce: Enforcement
    clamp_at: int | None = None

    @property
    def most_output(self) -> int | None:
        """Output tokens that an answer has at most; None where it is only asked to be short."""
        return self.levels[-1] if self.enforce == "clamp" else self.clamp_at
