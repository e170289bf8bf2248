"""Where a request goes by its rule's objective: model, output budget and server in one decision."""

from collections.abc import Callable
from typing import Final

from pilotage_extproc.dialects.brevity import may_be_instructed
from pilotage_extproc.dialects.call import BodyForm, Dialect
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.output_budget import limit_of
from pilotage_extproc.dialects.shape import capabilities_needed, is_plain
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.decision import Decision
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.choices import likely_answers, prompts_of
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import FeatureKey, Step
from pilotage_extproc.rules.misfits import misfits_of
from pilotage_extproc.rules.prompt_features import domain_of, gain_of
from pilotage_extproc.scheduling.chooser import Chooser
from pilotage_extproc.scheduling.objective import RuleObjective
from pilotage_extproc.scheduling.objective_choice import Asked
from pilotage_extproc.scheduling.shaping import Shape
from pilotage_extproc.stages.attempt_list import AttemptList
from pilotage_extproc.stages.conversation import conversation_of
from pilotage_extproc.stages.places import allowed_places, nowhere
from pilotage_extproc.state.conversations import Conversations

_RETRY_SECONDS: Final = 1
OUT_OF_BOUNDS: Final = "No candidate of the rule keeps its floor and ceilings for this request now."


class Choose(Step):
    """Compares all candidates of a rule; the decision lists the attempts, best first."""

    name = "choose"

    def __init__(
        self,
        chooser: Chooser,
        conversations: Conversations,
        next_id: "NextId",
        *,
        needs: frozenset[FeatureKey],
        attempts: AttemptList,
        clock: Clock,
        older_about: Callable[[], bool] = lambda: False,
    ) -> None:
        """`needs` are the features that the objectives of its rules read.

        While processes of the version before may still serve Envoy its clusters (`older_about`), all
        attempts have the first one's output budget.
        """
        self.needs = needs
        self._chooser = chooser
        self._conversations = conversations
        self._next_id = next_id
        self._attempts = attempts
        self._clock = clock
        self._older_about = older_about

    def apply(self, exchange: Exchange) -> None:
        """Decide. Raises RequestRefused where no candidate is available, or none keeps the rule's bounds."""
        route, now = exchange.route, self._clock()
        objective, fallback = route.objective, route.shaping
        if objective is None:
            raise LookupError("the rule has no objective")
        if not len(route.candidates):
            raise nowhere(exchange)
        conversation = None if objective.minimum_gain is None else conversation_of(exchange)
        asked = self._asked(exchange, objective, conversation, now)
        chosen = self._chooser.choose(
            route.candidates,
            route.profile,
            objective,
            asked,
            request=exchange.features,
            subset=allowed_places(exchange),
            reach=exchange.head.reach,
            call=exchange.call.kind,
            limit=self._attempts.most,
            now=now,
            shape=None if fallback is None else Shape(fallback, misfits_of(exchange, fallback)),
            # other gateways, and Envoys of the version before, send one body to all attempts
            own_budgets=exchange.head.reach is not Reach.SERVERS and not self._older_about(),
        )
        ranking, choice = chosen.ranking, chosen.choice
        if not ranking.order:
            if objective.refuses and not choice.within_bounds:
                raise RequestRefused(Refusal.OUT_OF_BOUNDS, OUT_OF_BOUNDS, retry_after_seconds=_RETRY_SECONDS)
            raise nowhere(exchange)
        ranking = self._attempts.of(exchange, ranking, now)
        targets = route.candidates.targets
        exchange.decided(
            ranking,
            Decision(
                id=self._next_id(),
                targets=tuple([targets[index] for index in ranking.order]),
                model=exchange.document.model,
                policy=route.policy,
                rule=route.rule,
                snapshot_version=exchange.snapshot_version,
                decided_at=now,
            ),
        )
        exchange.chosen(choice, conversation)

    def _asked(
        self, exchange: Exchange, objective: RuleObjective, conversation: int | None, now: float
    ) -> Asked:
        dialect, members = DIALECTS[exchange.call.kind], exchange.document.members
        last = None if conversation is None else self._conversations.model_of(conversation, now)
        return Asked(
            prompt_tokens=exchange.features.prompt_tokens,
            prompts=prompts_of(dialect, members)[0],
            limit=limit_of(exchange.call.kind, members),
            answers=likely_answers(dialect, members),
            plain=objective.budget is not None and _may_be_budgeted(dialect, exchange, objective),
            needs=capabilities_needed(dialect, members),
            domain=domain_of(exchange),
            gain=gain_of(exchange) if objective.pair is not None else None,
            last_tier=objective.models.index(last) if last in objective.models else None,
            in_tool_loop=last is not None and _in_tool_loop(dialect, exchange),
        )


class NextId:
    """Ids of this process's decisions by objective; another prefix tells them from the others."""

    def __init__(self, process_id: str) -> None:
        self._process_id = process_id
        self._sequence = 0

    def __call__(self) -> str:
        """The next one."""
        self._sequence += 1
        return f"{self._process_id}-o{self._sequence:x}"


def _may_be_budgeted(dialect: Dialect, exchange: Exchange, objective: RuleObjective) -> bool:
    """Whether the way of enforcing fits the call at all."""
    members, budget = exchange.document.members, objective.budget
    if budget is None or dialect.body is not BodyForm.JSON or not dialect.output_limits:
        return False
    if budget.enforce == "instruct" and not may_be_instructed(members):
        return False
    return is_plain(dialect, members)


def _in_tool_loop(dialect: Dialect, exchange: Exchange) -> bool:
    """Whether the last message is what a tool has answered."""
    try:
        return dialect.facts.last_role(exchange.document.members) == "tool"
    except UnknownFactError:
        return False
