"""How well first tokens are predicted: against a line through the queue alone, and at the p90."""

from dataclasses import asdict, dataclass
from typing import Any

from bench.choice.answers import Priors, Question
from bench.choice.fleet import Forecast, Load, Run
from bench.choice.routers import by_objective
from pilotage_extproc.state.latency import LatencyBook


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
    """The same run twice: predicted by all features, and by the queue alone."""
    full = _forecasts(priors, questions, load, seed, LatencyBook())
    queue = _forecasts(priors, questions, load, seed, LatencyBook(only_queue=True))
    covered = sum(one.came <= one.at_quantile for one in full) / len(full)
    return Judged(seed, len(full), _error(full), _error(queue), covered)


def _forecasts(
    priors: Priors, questions: list[Question], load: Load, seed: int, book: LatencyBook
) -> list[Forecast]:
    run = Run(by_objective(100, 20, 20), priors, seed, latency=book)
    run.serve(questions, load, seed)
    return run.forecasts


def _error(forecasts: list[Forecast]) -> float:
    return sum(abs(one.predicted - one.came) for one in forecasts) / len(forecasts)
