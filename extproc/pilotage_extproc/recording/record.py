"""What is kept of a decision: facts and packed columns, no prompt text, nothing formatted.

A record is one flat object of plain values and arrays: tens of thousands are kept, and the garbage
collector walks every container among them at its full collections.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.features.names import ALL as PROMPT_FEATURES
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.handled import Handled
from pilotage_extproc.request.limits import USUAL, AttemptLimits
from pilotage_extproc.request.shaping import Shapings
from pilotage_extproc.request.stage import FeatureKey
from pilotage_extproc.request.trial import Trial
from pilotage_extproc.scheduling.objective_choice import Choice
from pilotage_extproc.scheduling.route import Route
from pilotage_extproc.scheduling.shaping import PassedOver

_FACTS_BYTES = 900
_ARRAY_BYTES = 112
_TRIAL_BYTES = 200
"""Of a rule that was tried, beside its reason."""
_FEATURE_BYTES = 160
_HANDLED_BYTES = 700
"""Of one kind of values, with its places."""
_SHAPE_BYTES = 200
"""Of one attempt that a policy changes."""
_MOST_PATH = 256
"""Characters of a path that are kept: paths of calls are shorter, and others are the client's own."""


@dataclass(slots=True)
class DecisionRecord:
    """One decision with all it was based on, and once settled what became of it."""

    id: str
    model: str
    kind: CallKind
    path: str
    stream: bool
    body_bytes: int
    subset: str | None
    """Addresses joined by commas."""
    route: Route
    snapshot_version: str
    decided_at: float
    """Monotonic seconds."""
    decided_at_utc: float
    """Seconds since the epoch, for people."""
    order: tuple[int, ...]
    """Candidate indices, best first."""
    total: NDArray[np.float64]
    scraped_at: NDArray[np.float64]
    terms: NDArray[np.float64]
    """One row a scorer of the route's profile."""
    masks: tuple[NDArray[np.bool_], ...]
    filter_names: tuple[str, ...]
    skipped: tuple[str, ...]
    prompt_tokens: float
    """Estimated; 0 where no scorer read the prompt."""
    cached_tokens: float
    """Of them, expected in the pick's prefix cache."""
    trials: tuple[Trial, ...] = ()
    """The rules that were tried, in order."""
    passed_over: tuple[PassedOver, ...] = ()
    """Models that do not stand where the rule has them."""
    limits: AttemptLimits = USUAL
    """Which failures lead on, and how long it may take."""
    failed: tuple[FailedAttempt, ...] = ()
    """Attempts that failed, in the order they became known."""
    choice: Choice | None = None
    """Where its rule has an objective."""
    prompt_features: tuple[tuple[str, object], ...] = ()
    """`prompt.…` by name, as rules read them: topics and figures, no text of the prompt."""
    handled: tuple[Handled, ...] = ()
    """What rules on content and tools found; no value."""
    shapes: tuple[tuple[str, tuple[str, ...]] | None, ...] = ()
    """For each attempt the transform of its policy, and the names of what it changes; empty without one."""
    queued_seconds: float | None = None
    """How long it has waited for room at servers; None where it did not have to."""
    outcome: Outcome | None = None

    @classmethod
    def of(cls, exchange: Exchange, decided_at_utc: float) -> Self:
        """The frozen projection of a decided exchange; it shares the ranking's columns."""
        decision, ranking, features = exchange.decision, exchange.ranking, exchange.features
        subset, dropped, learned = exchange.head.subset, ranking.dropped, exchange.all_learned()
        return cls(
            decision.id,
            decision.model,
            exchange.call.kind,
            exchange.call.path[:_MOST_PATH],
            exchange.document.stream,
            len(exchange.body),
            None if subset is None else ",".join(subset),
            exchange.route,
            decision.snapshot_version,
            decision.decided_at,
            decided_at_utc,
            tuple(ranking.order),
            ranking.total,
            ranking.scraped_at.copy(),  # a view would keep the candidates' other figures too
            ranking.terms,
            tuple(dropped.values()),
            tuple(dropped),
            (*exchange.skipped, *features.skipped, *ranking.skipped),
            features.prompt_tokens,
            ranking.cached_tokens,
            exchange.trials,
            ranking.passed_over,
            exchange.limits,
            choice=None if exchange.choice is None else exchange.choice.packed(),
            handled=exchange.handled,
            shapes=_shapes(exchange.shapings) if exchange.shapings else (),
            queued_seconds=exchange.queued_seconds,
            prompt_features=_prompt_features(learned, exchange.route.policy) if learned else (),
        )

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        """One of its attempts has failed; at most as many are kept as its list is long."""
        if len(self.failed) < len(self.order):
            self.failed += (attempt,)

    def complete(self, outcome: Outcome) -> None:
        """The request has ended; a known end replaces an unknown one."""
        if self.outcome is None or self.outcome.given_up:
            self.outcome = outcome

    @property
    def nbytes(self) -> int:
        """What the record costs to keep; the route is shared."""
        total, masks = self.total, len(self.masks)
        size = _FACTS_BYTES + (3 + masks) * _ARRAY_BYTES + masks * total.size
        size += total.nbytes + self.scraped_at.nbytes + self.terms.nbytes
        size += len(self.path) + len(self.model)
        if self.subset:
            size += len(self.subset)
        if self.choice is not None:
            size += self.choice.nbytes
        if self.prompt_features:
            size += len(self.prompt_features) * _FEATURE_BYTES
        if self.handled:
            size += len(self.handled) * _HANDLED_BYTES
        if self.shapes:
            size += len(self.shapes) * _SHAPE_BYTES
        if self.trials:
            size += sum([_TRIAL_BYTES + len(trial.reason) for trial in self.trials])
        return size

    def targets(self) -> tuple[Target, ...]:
        """The attempts, best first."""
        targets = self.route.candidates.targets
        return tuple([targets[index] for index in self.order])

    def addresses(self) -> list[str]:
        """Addresses of the attempts, best first."""
        targets = self.route.candidates.targets
        return [targets[index].address for index in self.order]

    def dropped(self) -> dict[str, NDArray[np.bool_]]:
        """By filter: which candidates it dropped."""
        return dict(zip(self.filter_names, self.masks, strict=True))


def _shapes(shapings: Shapings) -> tuple[tuple[str, tuple[str, ...]] | None, ...]:
    return tuple([None if one is None else (one.transform.name, one.changed) for one in shapings])


def _prompt_features(
    learned: Mapping[FeatureKey, object], policy: str | None
) -> tuple[tuple[str, object], ...]:
    """What was read of the prompt; of keywords the sets of its own policy."""
    own, found = f"{policy}/", []
    for name, value in sorted(learned.items()):
        if name in PROMPT_FEATURES:
            if isinstance(value, frozenset):
                value = tuple(sorted(one for one in value if one.startswith(own)))  # noqa: PLW2901 - shown so
            found.append((name, value))
    return tuple(found)
