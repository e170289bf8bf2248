"""What answers teach the decisions to come: how long they were, and how long they took."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.dialects.call import is_one_answer
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.stage import OnError, Step
from pilotage_extproc.scheduling.chooser import Experience
from pilotage_extproc.scheduling.objective_choice import Choice
from pilotage_extproc.state.conversations import Conversations
from pilotage_extproc.state.endpoints import EndpointTable


@dataclass(slots=True, frozen=True)
class _Lesson:
    """What its outcome is held against."""

    rule: str
    targets: tuple[Target, ...]
    generations: tuple[int, ...]
    features: NDArray[np.float64]
    """Of each target at the decision, [features, targets]."""
    most_tokens: tuple[int | None, ...]
    """Output tokens that each target was bound to."""
    stream: bool
    one_answer: bool
    """Of several, usage is the sum, and how many were made is the server's affair: they measure none."""


_LESSON: Final = Note[_Lesson]("lesson")


class Learn(Step):
    """Keeps what a choice was based on until its answer has ended, and remembers conversations."""

    name = "learn"
    on_error = OnError.SKIP
    settles = True

    def __init__(self, experience: Experience, conversations: Conversations, table: EndpointTable) -> None:
        self._experience = experience
        self._conversations = conversations
        self._table = table

    def apply(self, exchange: Exchange) -> None:
        """The pick stands."""
        choice, decision = exchange.choice, exchange.decision
        if choice is None:
            return
        first = exchange.ranking.order[0]
        if exchange.conversation is not None:
            model = choice.objective.models[int(exchange.route.candidates.tiers[first])]
            self._conversations.placed(exchange.conversation, model, decision.decided_at)
        exchange.keep(
            _LESSON,
            _Lesson(
                choice.objective.rule,
                decision.targets,
                tuple(int(self._table.generation[target.row]) for target in decision.targets),
                choice.features[:, exchange.ranking.order],
                tuple([_bound(choice, candidate) for candidate in exchange.ranking.order]),
                exchange.document.stream,
                is_one_answer(exchange.document.members),
            ),
        )

    def finish(self, exchange: Exchange, outcome: Outcome) -> None:
        """It has ended, or was given up."""
        lesson = exchange.kept(_LESSON)
        if lesson is None or outcome.given_up or outcome.result != "ok":
            return
        for position, target in enumerate(lesson.targets):
            if target.address == outcome.upstream_address:
                self._teach(lesson, position, outcome)
                return

    def amend(self, exchange: Exchange, outcome: Outcome) -> None:
        """Its outcome teaches all the same."""
        self.finish(exchange, outcome)

    def _teach(self, lesson: _Lesson, position: int, outcome: Outcome) -> None:
        target, tokens = lesson.targets[position], outcome.usage.output_tokens
        self._teach_writes(lesson.rule, target.upstream_model, outcome.usage)
        if not lesson.one_answer:
            return
        if tokens:
            self._experience.lengths.observe(
                lesson.rule, target.upstream_model, tokens, lesson.most_tokens[position]
            )
        ttft, body = outcome.attempt_ttft_seconds, outcome.attempt_body_seconds
        if ttft is None and outcome.attempts == 1:
            ttft = outcome.ttft_seconds
        if ttft is None or not lesson.stream:  # without a stream the first byte comes with the last token
            return
        tpot = None if body is None or tokens is None or tokens < 2 else body / (tokens - 1)
        self._experience.latency.observe(
            target.pool,
            target.upstream_model,
            target.row,
            lesson.generations[position],
            lesson.features[:, position].tolist(),
            ttft,
            tpot,
        )

    def _teach_writes(self, rule: str, upstream_model: str, usage: TokenUsage) -> None:
        """Only servers that say what they have written teach it."""
        written = usage.cache_write_input_tokens
        if written is not None and usage.input_tokens is not None:
            uncached = usage.input_tokens - (usage.cached_input_tokens or 0)
            self._experience.writes.observe(rule, upstream_model, uncached, written)


def _bound(choice: Choice, candidate: int) -> int | None:
    bounds = (choice.budget_at(candidate), choice.asked.limit)
    return min([one for one in bounds if one is not None], default=None)
