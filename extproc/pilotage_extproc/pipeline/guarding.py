"""The stages that keep rules on content and tools, of the gateway and of policies."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from pilotage_api import content_rules
from pilotage_api.answer_findings import unkept_answers
from pilotage_api.guards_snapshot import (
    Action,
    AnswerRuleSnapshot,
    ContentRuleSnapshot,
    GuardsSnapshot,
    OwnDetectorSnapshot,
    RemoteGuardSnapshot,
    ToolRuleSnapshot,
)
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.content.answers.rules import AnswerRules
from pilotage_extproc.content.guard import STRICTNESS, ContentGuard, Toolbox
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.features.attack_signal import AttackSignal
from pilotage_extproc.request.plan import Plan
from pilotage_extproc.request.stage import Stage
from pilotage_extproc.rules.readings import ReadingSources
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.rules.tool_bounds import ToolBounds
from pilotage_extproc.stages.ask_guards import AskGuards, Guards
from pilotage_extproc.stages.check_content import CheckContent
from pilotage_extproc.stages.check_tools import CheckTools
from pilotage_extproc.stages.find_attacks import FindAttacks
from pilotage_extproc.stages.guard_answer import GuardAnswer
from pilotage_extproc.stages.refuse import Refuse
from pilotage_extproc.state.tool_sets import ToolSets

_GATEWAY: Final = "of the gateway"
_MOST_KEPT: Final = 1024


class Guarding:
    """Makes these stages; equal rules share their patterns."""

    def __init__(
        self,
        settings: GatewaySettings,
        key: bytes,
        current: CurrentIndex,
        sources: ReadingSources,
        clock: Clock,
        remote: Guards | None,
    ) -> None:
        """`key` keys placeholders; without `remote` no guard is asked."""
        self._remote = remote
        self._key = key
        self._toolbox = Toolbox()
        self._current = current
        self._sources = sources
        self._clock = clock
        self._tool_sets = ToolSets()
        self._content_stages: dict[
            tuple[tuple[ContentRuleSnapshot, ...], tuple[OwnDetectorSnapshot, ...]], CheckContent
        ] = {}
        self._tool_stages: dict[tuple[str, tuple[ToolRuleSnapshot, ...]], CheckTools] = {}
        self._answer_stages: dict[
            tuple[tuple[AnswerRuleSnapshot, ...], tuple[OwnDetectorSnapshot, ...], frozenset[str]],
            GuardAnswer,
        ] = {}
        self._remote_stages: dict[
            tuple[tuple[RemoteGuardSnapshot, ...], tuple[OwnDetectorSnapshot, ...], tuple[object, ...]],
            AskGuards,
        ] = {}
        self._attack_stages: dict[Action, FindAttacks] = {}
        content = settings.governance.content
        self._floor = tuple(rule.snapshot() for rule in content.request)
        self._answer_floor = tuple(rule.snapshot() for rule in content.response)
        self._checked = self._content(self._floor, None, _GATEWAY)
        unkept = unkept_answers(self._answer_floor, settings)
        watched = self._answer((), GuardsSnapshot(), _GATEWAY) if unkept is None else ()
        self._refusing = () if unkept is None else (Refuse(_GATEWAY, unkept),)
        self.floor: tuple[Stage, ...] = (*self._refusing, *self._checked, *watched)
        """What is kept for every request."""
        self.keeps_text = any(rule.action != "flag" for rule in self._floor)
        """Whether no request may be shown to others before content rules have looked at it."""

    def guarded(
        self,
        plan: Plan,
        policy: str,
        guards: GuardsSnapshot,
        trusts: Collection[str],
        required: Mapping[str, str],
    ) -> Plan:
        """A rule's plan where its policy asks for more; `trusts` is whom its requests may go to, `required`
        are labels that its rule requires."""
        if guards.unenforceable is not None:
            return Plan((Refuse(policy, guards.unenforceable),), (), ())
        own = tuple(
            rule
            for rule in guards.content
            if not rule.when_trust or not set(rule.when_trust).isdisjoint(trusts)
        )
        found = [one for rule in own if (one := rule.without(content_rules.PROMPT_ATTACK)).detectors]
        content = self._content((*self._floor, *found), guards, policy) if found else self._checked
        attacks = self._attacks(own, policy)
        answer = self._answer(content, guards, policy)
        tools = self._tools(guards.tools, policy)
        rest = tuple(stage for stage in plan.governance if stage not in self.floor)
        remote = self._asking(guards, required)
        guarding = (*self._refusing, *content, *attacks, *answer, *tools, *remote)
        return replace(plan, governance=(*guarding, *rest))

    def _content(
        self, rules: tuple[ContentRuleSnapshot, ...], guards: GuardsSnapshot | None, policy: str
    ) -> tuple[Stage, ...]:
        if not rules:
            return ()
        if not content_rules.available():
            return (Refuse(policy, content_rules.NOT_AVAILABLE),)
        own = () if guards is None else guards.own
        known = self._content_stages.get((rules, own))
        if known is None:
            self._forget_if_many()
            known = CheckContent(ContentGuard(rules, own, self._toolbox), self._key)
            self._content_stages[rules, own] = known
        return (known,)

    def _answer(self, content: tuple[Stage, ...], guards: GuardsSnapshot, policy: str) -> tuple[Stage, ...]:
        """What looks at answers, or puts back what these stages replace; nothing where none is asked for."""
        restored = frozenset(
            name for stage in content if isinstance(stage, CheckContent) for name in stage.restored
        )
        rules = (*self._answer_floor, *guards.answers)
        if not rules and not restored:
            return ()
        if not content_rules.available():
            return (Refuse(policy, content_rules.NOT_AVAILABLE),)
        key = rules, guards.own, restored
        known = self._answer_stages.get(key)
        if known is None:
            self._forget_if_many()
            made = AnswerRules(rules, guards.own, self._toolbox) if rules else None
            known = self._answer_stages[key] = GuardAnswer(made, restored, self._key)
        return (known,)

    def _attacks(self, rules: tuple[ContentRuleSnapshot, ...], policy: str) -> tuple[Stage, ...]:
        """What looks for attacks on prompts, where a rule names them."""
        actions = {rule.action for rule in rules if content_rules.PROMPT_ATTACK in rule.detectors}
        if not actions:
            return ()
        action = max(actions, key=STRICTNESS.index)
        known = self._attack_stages.get(action)
        if known is None:
            signal = AttackSignal.shipped()
            if signal is None:
                return (Refuse(policy, "the weights for prompt-attack cannot be read"),)
            known = self._attack_stages[action] = FindAttacks(signal, action)
        return (known,)

    def _asking(self, guards: GuardsSnapshot, required: Mapping[str, str]) -> tuple[Stage, ...]:
        if not guards.remote:
            return ()
        key = (guards.remote, guards.own, tuple(sorted(required.items())))
        known = self._remote_stages.get(key)
        if known is None:
            self._forget_if_many()
            hiding = None
            if any(guard.redacted for guard in guards.remote):
                names = (*content_rules.BUILT_IN, *(one.name for one in guards.own))
                rule = ContentRuleSnapshot(detectors=names, action="redact")
                hiding = ContentGuard((rule,), guards.own, self._toolbox)
            known = AskGuards(guards.remote, required, self._remote, hiding, self._key)
            self._remote_stages[key] = known
        return (known,)

    def _tools(self, rules: tuple[ToolRuleSnapshot, ...], policy: str) -> tuple[Stage, ...]:
        if not rules:
            return ()
        known = self._tool_stages.get((policy, rules))
        if known is None:
            self._forget_if_many()
            bounds = tuple(map(ToolBounds, rules))
            known = CheckTools(policy, bounds, self._tool_sets, self._current, self._sources, self._clock)
            self._tool_stages[policy, rules] = known
        return (known,)

    def _forget_if_many(self) -> None:
        """Indexes are built anew with each change of endpoints: what rules ask for is kept, and bounded."""
        if self._kept() >= _MOST_KEPT:
            self._content_stages.clear()
            self._tool_stages.clear()
            self._answer_stages.clear()
            self._remote_stages.clear()

    def _kept(self) -> int:
        checks = len(self._content_stages) + len(self._answer_stages)
        return checks + len(self._tool_stages) + len(self._remote_stages)
