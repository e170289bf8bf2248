"""How well first tokens are predicted: against a line through the queue alone, and at the p90."""

from dataclasses import asdict, dataclass
from typing import Any

from bench.choice.answers import Priors, Question
from bench.choice.fleet import Load, Run
from bench.choice.routers import by_objective


@dataclass(frozen=True, slots=True)
class Judged:
    """Of one seed."""

    seed: int
    count: int
    error: float
    """Mean absolute error, seconds."""
    queue_error: float
    """Of the queue alone."""
    coverage: float
    """Share of first tokens that came by their p90."""

    @property
    def gain(self) -> float:
        """By how much the error is less."""
        return 1 - self.error / self.queue_error

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "gain": self.gain}


def judge(priors: Priors, questions: list[Question], load: Load, seed: int) -> Judged:
    """One run; each first token is predicted by all features, and beside it by the queue alone."""
    run = Run(by_objective(100, 20, 20), priors, seed)
    run.serve(questions, load, seed)
    found = run.forecasts
    count = len(found)
    return Judged(
        seed,
        count,
        sum(abs(one.predicted - one.came) for one in found) / count,
        sum(abs(one.by_queue - one.came) for one in found) / count,
        sum(one.came <= one.at_quantile for one in found) / count,
    )
