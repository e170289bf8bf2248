"""Plans: which stages a request passes, compiled from what the gateway and its rule ask for."""

import random
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from pilotage_api.governance_snapshot import GovernanceSnapshot
from pilotage_api.guards_snapshot import GuardsSnapshot
from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.accounting.alerts import Alerts
from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.prices import PriceBook
from pilotage_extproc.accounting.rules import SpendingRules
from pilotage_extproc.accounting.tenant_rules import RulesOfCaller
from pilotage_extproc.dialects.transform.transform import Transform
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.pipeline.consider import consider
from pilotage_extproc.pipeline.guarding import Guarding
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.plan import Plan
from pilotage_extproc.request.stage import FeatureKey, Stage
from pilotage_extproc.rules.readings import ReadingSources
from pilotage_extproc.rules.room import PoolRoom
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.scheduling.chooser import Chooser, Experience
from pilotage_extproc.scheduling.feedback import Learner
from pilotage_extproc.scheduling.route import Route
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.stages.admit import Admit
from pilotage_extproc.stages.ask_guards import Guards
from pilotage_extproc.stages.attempt_list import AttemptList
from pilotage_extproc.stages.authorize import Authorize
from pilotage_extproc.stages.bound import Bound
from pilotage_extproc.stages.bound_cost import BoundCost
from pilotage_extproc.stages.choose import Choose, NextId
from pilotage_extproc.stages.count import Count
from pilotage_extproc.stages.decide import Decide
from pilotage_extproc.stages.describe import Describe
from pilotage_extproc.stages.find_response import FindResponse
from pilotage_extproc.stages.follow_spent import FollowSpent
from pilotage_extproc.stages.foresee import Foresee
from pilotage_extproc.stages.identify_caller import IdentifyCaller
from pilotage_extproc.stages.isolate import KeepSalted, Salt
from pilotage_extproc.stages.keep_affordable import KeepAffordable
from pilotage_extproc.stages.learn import Learn
from pilotage_extproc.stages.look_at_budgets import LookAtBudgets
from pilotage_extproc.stages.prepare import Prepare, PrepareTransformed
from pilotage_extproc.stages.read_body import ReadBody
from pilotage_extproc.stages.read_head import ReadHead
from pilotage_extproc.stages.record import Record
from pilotage_extproc.stages.refuse import Refuse
from pilotage_extproc.stages.refuse_steering import RefuseSteering
from pilotage_extproc.stages.route import ChooseRule
from pilotage_extproc.stages.shed import Shed
from pilotage_extproc.stages.wait import Wait, Went
from pilotage_extproc.state.api_keys import KeyBook
from pilotage_extproc.state.conversations import Conversations
from pilotage_extproc.state.latency import LatencyBook
from pilotage_extproc.state.lengths import LengthBook
from pilotage_extproc.state.objectives import Objectives
from pilotage_extproc.state.responses import ResponseOwners
from pilotage_extproc.state.retry_budget import RetryBudget
from pilotage_extproc.state.waiter import ORDINARY, Standing
from pilotage_extproc.state.waiting_line import WaitingLine


@dataclass(slots=True, frozen=True)
class StageParts:
    """What stages are made of: the state and services of one process."""

    process_id: str
    settings: GatewaySettings
    current: CurrentIndex
    scheduler: Scheduler
    learner: Learner
    owners: ResponseOwners
    objectives: Objectives
    sources: ReadingSources
    decisions: DecisionLog[DecisionRecord]
    clock: Clock
    books: Books
    prices: PriceBook
    alerts: Alerts
    room: PoolRoom
    line: WaitingLine
    keys: KeyBook = field(default_factory=KeyBook)
    salt_key: bytes = b""
    """What salts of tenants' prefix caches are made with; the same in all processes of a gateway."""
    budget: RetryBudget = field(default_factory=RetryBudget)
    chance: Callable[[], float] = random.random
    utc_now: Callable[[], float] = time.time
    experience: Experience = field(default_factory=lambda: Experience(LengthBook(), LatencyBook()))
    conversations: Conversations = field(default_factory=Conversations)
    placeholder_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    guards: Guards | None = None
    """Guardrails over HTTP; None asks nobody."""
    features: tuple[Stage, ...] = ()
    """Stages that find out slow features, in the order they may be applied."""
    older_about: Callable[[], bool] = lambda: False
    """Whether processes of the version before may serve Envoy."""


class PlanBook:
    """The gateway's plan, and the plans of rules; equal plans share their stages."""

    def __init__(self, parts: StageParts) -> None:
        settings, current = parts.settings, parts.current
        read_body = ReadBody(settings.body.max_structure)
        recognise = ReadHead(settings, current)
        find = FindResponse(parts.owners, lambda address: address in current.index.by_address, read_body)
        choose_rule = ChooseRule(current, parts.learner, parts.sources, settings.governance)
        self.on_head: tuple[Stage, ...] = (recognise,)
        """The gateway's stages that need no body."""
        self.on_body: tuple[Stage, ...] = (read_body, find, choose_rule)
        """The gateway's stages up to the rule that wins."""
        self.considering = self.on_head, self.on_body
        """Both for a request that is only asked about: by the gateway's operator, so nobody is identified."""
        if settings.governance.identity is not None:
            identify = IdentifyCaller(settings.governance.identity, parts.keys, current, parts.utc_now)
            self.on_head = (identify, recognise)
            self.on_body = (read_body, Authorize(current), find, choose_rule)
        if settings.governance.floor:
            self.on_body = (read_body, RefuseSteering(), *self.on_body[1:])
        self._features = parts.features
        self.utc_now = parts.utc_now
        """Seconds since the epoch, for people."""
        describe, prepare = Describe(parts.learner.calibration), Prepare()
        self._describe, self._counting = describe, describe.counting()
        attempts = self._attempts = AttemptList(parts.scheduler.table, parts.budget, settings.max_attempts)
        decide = Decide(
            parts.scheduler,
            process_id=parts.process_id,
            attempts=attempts,
            clock=parts.clock,
            chance=parts.chance,
        )
        self._guarding = Guarding(
            settings, parts.placeholder_key, current, parts.sources, parts.clock, parts.guards
        )
        floor = self._floor = self._guarding.floor
        committing = (Count(parts.learner, parts.clock), Record(parts.decisions, parts.utc_now))
        bound = Bound()
        self.placing = Plan(floor, (describe, bound, decide, prepare), committing)
        """Of requests that a rule or a name takes whose policy bounds nothing."""
        self.in_pool = Plan(
            (*floor, Shed(parts.objectives, parts.scheduler)), (describe, bound, decide, prepare), committing
        )
        """Of requests whose pool the gateway has fixed."""
        self.forwarded = Plan(floor, (decide,), committing)
        """Of requests that are not understood: by load alone, unchanged."""
        scheduler, random = parts.scheduler, np.random.default_rng()
        self._chooser = Chooser(scheduler.table, scheduler.knowledge, parts.experience, random, parts.chance)
        self._next_id = NextId(parts.process_id)
        self._choosing: dict[frozenset[FeatureKey], Plan] = {}
        self._parts = parts
        self._salt, self._keep_salted = Salt(parts.salt_key), KeepSalted()
        self._around = describe, bound, prepare, committing
        self._went = Went(parts.line)

    def choosing(self, reads: frozenset[FeatureKey]) -> Plan:
        """Of requests whose rule has an objective that reads some features."""
        plan = self._choosing.get(reads)
        if plan is None:
            parts, (describe, bound, prepare, (count, *record)) = self._parts, self._around
            choose = Choose(
                self._chooser,
                parts.conversations,
                self._next_id,
                needs=reads,
                attempts=self._attempts,
                clock=parts.clock,
                older_about=parts.older_about,
            )
            learn = Learn(parts.experience, parts.conversations, parts.scheduler.table)
            plan = self._choosing[reads] = Plan(
                self._floor, (describe, bound, choose, prepare), (count, learn, *record)
            )
        return plan

    def _standing(self, identity: Identity) -> Standing:
        """Priority and weight of who asks."""
        tenant = self._parts.current.index.tenants.get(identity.tenant)
        return ORDINARY if tenant is None else tenant.standing

    def queued(self, plan: Plan, policy: str, bounds: QueueSnapshot, pools: frozenset[str]) -> Plan:
        """A rule's plan where its policy's requests wait for room at these pools."""
        parts = self._parts
        wait = Wait(
            policy,
            bounds,
            pools,
            line=parts.line,
            room=parts.room,
            objectives=parts.objectives,
            standing=self._standing,
            again=partial(consider, self.on_body),
            clock=parts.clock,
        )
        return replace(plan, committing=(*plan.committing, self._went), waiting=(wait,))

    def guarded(
        self,
        plan: Plan,
        policy: str,
        guards: GuardsSnapshot,
        trusts: Collection[str],
        required: Mapping[str, str],
    ) -> Plan:
        """A rule's plan where its policy has rules on content or tools."""
        return self._guarding.guarded(plan, policy, guards, trusts, required)

    def governed(
        self,
        plan: Plan,
        policy: str,
        governance: GovernanceSnapshot,
        instead: tuple[Route, ...],
        clamp_at: int | None = None,
        tenants: Mapping[str, SpendingRules] = MappingProxyType({}),
        *,
        leaves_spent: bool = False,
    ) -> Plan:
        """A rule's plan where its policy, or a tenant, bounds something.

        `instead` is where spent budgets send requests; `clamp_at` is the most output tokens that the rule
        lets an answer have; `tenants` are those that bound something, by name; `leaves_spent` says that the
        rule's fallback takes requests that a model's budget has no room for.
        """
        if governance.unenforceable is not None:
            return Plan((Refuse(policy, governance.unenforceable),), (), ())
        rules = SpendingRules.of(f"policy {policy}", governance)
        for budget in (*rules.budgets, *(one for theirs in tenants.values() for one in theirs.budgets)):
            self._parts.alerts.watch(budget.name, budget.alert_at)
        placing = self.placing
        # where a spent budget sends requests, they are prepared as the policy's others
        placing = _preparing(placing, plan.deciding[-1])
        if plan.waiting:
            committing = (*placing.committing, self._went)
            placing = replace(placing, committing=committing, waiting=plan.waiting)
        if governance.kv_isolation:
            plan, placing = self._isolated(plan), self._isolated(placing)
        if not (governance.limits or governance.budgets or tenants):
            return plan
        together = RulesOfCaller(rules, tenants)
        bounded = self._bounded(plan, together, clamp_at)
        if leaves_spent:
            look = LookAtBudgets(together, self._parts.books, self._parts.prices, clamp_at)
            bounded = replace(bounded, deciding=(look, *bounded.deciding))
        if not instead:
            return bounded
        spent = FollowSpent(rules, instead, self._bounded(placing, together, clamp_at), self._parts.books)
        return replace(bounded, governance=(*bounded.governance, spent))

    def _isolated(self, plan: Plan) -> Plan:
        """With the stages that keep tenants' prefix caches apart; a plan ends with what edits the body."""
        *deciding, prepare = plan.deciding
        return replace(plan, deciding=(self._salt, *deciding, self._keep_salted, prepare))

    def _bounded(self, plan: Plan, rules: RulesOfCaller, clamp_at: int | None) -> Plan:
        books, prices = self._parts.books, self._parts.prices
        bound = (BoundCost(rules, prices, clamp_at),) if rules.any_hard else ()
        admit = Admit(rules, books, prices, clamp_at)
        deciding = plan.deciding
        if rules.any_hard and rules.any_by_model:  # a plan's last stage edits the body for what is left
            deciding = (*deciding[:-1], KeepAffordable(rules, books), deciding[-1])
        if rules.any_reads_tokens:
            deciding = tuple([self._counting if one is self._describe else one for one in deciding])
        committing = (admit, *plan.committing)
        if books.keeps_notes:
            # it is asked over a network: who comes meanwhile has to know of the room that this one takes
            counted = [one for one in plan.committing if one is self._went or isinstance(one, Count)]
            rest = [one for one in plan.committing if one not in counted]
            committing = (*counted, admit, *rest)
        return replace(plan, deciding=(*deciding, *bound), committing=committing)

    def transforming(self, plan: Plan, by_model: Mapping[str, Transform]) -> Plan:
        """The plan of a rule whose policy changes its requests for some models."""
        plan = replace(plan, deciding=(Foresee(by_model), *plan.deciding))
        return _preparing(plan, PrepareTransformed(by_model, self._parts.older_about))

    def features(self, wanted: frozenset[FeatureKey], *, local: bool = False) -> tuple[Stage, ...]:
        """The stages that find out some features, with what these stages need; no others.

        `local` leaves out what is asked over a network.
        """
        chosen: list[Stage] = []
        for stage in reversed(self._features):
            if stage.provides & wanted:
                narrowed = stage.narrowed(wanted)
                kept = local or self._guarding.keeps_text
                chosen.append(narrowed.kept_here() if kept else narrowed)
                wanted |= stage.needs
        return tuple(reversed(chosen))


def _preparing(plan: Plan, prepare: Stage) -> Plan:
    """The plan with another last stage of those that decide: the one that edits the body."""
    if plan.deciding[-1] is prepare:
        return plan
    return replace(plan, deciding=(*plan.deciding[:-1], prepare))
