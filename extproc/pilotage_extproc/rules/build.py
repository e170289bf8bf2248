"""The routing index made from a snapshot and the endpoints there are, in short turns of the event loop."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from pilotage_api.conditions.variables import feature_of
from pilotage_api.fallback import FallbackReason
from pilotage_api.governance_snapshot import GovernanceSnapshot
from pilotage_api.guards_snapshot import GuardsSnapshot
from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_api.require import OWN, PROVIDER, TRUST
from pilotage_api.snapshot import (
    Binding,
    NameKind,
    Otherwise,
    PolicyRoute,
    PoolSnapshot,
    ProfileSnapshot,
    RoutingSnapshot,
    RuleSnapshot,
)
from pilotage_extproc.accounting.accounts import tenant_scope
from pilotage_extproc.accounting.rules import SpendingRules
from pilotage_extproc.dialects.transform.transform import Transform
from pilotage_extproc.features.keywords import KeywordSets
from pilotage_extproc.request.plan import Plan
from pilotage_extproc.request.stage import Stage
from pilotage_extproc.rules.attempt_table import AttemptTables
from pilotage_extproc.rules.candidate_sets import CandidateSets, Tiers
from pilotage_extproc.rules.condition import Condition, Conditions
from pilotage_extproc.rules.globs import glob_pattern
from pilotage_extproc.rules.routing_index import PolicyEntry, RoutingIndex
from pilotage_extproc.rules.rule import Policy, Rule
from pilotage_extproc.rules.tenant import TenantRules
from pilotage_extproc.scheduling.abilities import abilities_of
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.scheduling.objective import rule_objective
from pilotage_extproc.scheduling.profile import Profile, ProfileBook
from pilotage_extproc.scheduling.route import Route
from pilotage_extproc.scheduling.shaping import fallback_of, spread_of
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_kube.turns import Turns

_DEFAULT_PROFILE: Final = ProfileSnapshot()
_NOBODY: Final[Mapping[str, SpendingRules]] = MappingProxyType({})


class Plans(Protocol):
    """What is done for requests, by where they go."""

    def features(self, wanted: frozenset[str], *, local: bool = False) -> tuple[Stage, ...]:
        """What has to be awaited for some features, in order; nothing where none of them is slow.

        `local` asks no network.
        """

    @property
    def placing(self) -> Plan:
        """For those that a rule or a name takes."""

    def choosing(self, reads: frozenset[str]) -> Plan:
        """For those of a rule with an objective, which reads some features."""

    def queued(self, plan: Plan, policy: str, bounds: QueueSnapshot, pools: frozenset[str]) -> Plan:
        """A rule's plan where its policy's requests wait for room at these pools."""

    def guarded(
        self,
        plan: Plan,
        policy: str,
        guards: GuardsSnapshot,
        trusts: Collection[str],
        required: Mapping[str, str],
    ) -> Plan:
        """A rule's plan where its policy has rules on content or tools."""

    def governed(
        self,
        plan: Plan,
        policy: str,
        governance: GovernanceSnapshot,
        instead: tuple[Route, ...],
        clamp_at: int | None = None,
        tenants: Mapping[str, SpendingRules] = _NOBODY,
        *,
        leaves_spent: bool = False,
    ) -> Plan:
        """A rule's plan where its policy, or a tenant, bounds something."""

    def transforming(self, plan: Plan, by_model: Mapping[str, Transform]) -> Plan:
        """The same for those of a rule whose policy changes requests for some models."""

    @property
    def in_pool(self) -> Plan:
        """For those whose pool the gateway has fixed."""

    @property
    def forwarded(self) -> Plan:
        """For those that are not understood."""


class IndexBuilder:
    """Builds one index after another, for one endpoint table."""

    def __init__(self, table: EndpointTable, profiles: ProfileBook, plans: Plans) -> None:
        self._table = table
        self._profiles = profiles
        self._plans = plans
        self._sets = CandidateSets()
        self._conditions = Conditions()
        self.attempts = AttemptTables()
        """Of the last snapshots: later attempts of requests decided under them are rewritten by these."""

    async def build(self, snapshot: RoutingSnapshot, membership: Mapping[str, Iterable[str]]) -> RoutingIndex:
        """Build an index. `membership` gives each pool's Envoy addresses, resolved.

        The table must keep these addresses' rows until the index is in use.
        """
        turns, sets = Turns(), self._sets
        sets.begin(membership, self._table)
        texts = (rule.when for route in snapshot.routes for rule in route.rules if rule.when is not None)
        conditions = await self._conditions.compile(texts)
        attempts = self.attempts.of(snapshot)
        make = _Builder(snapshot, self._profiles, sets, self._plans, conditions, attempts.transforms)
        exact: dict[str, list[PolicyEntry]] = {}
        globs: list[PolicyEntry] = []
        any_model: list[PolicyEntry] = []
        reads_answers: list[PolicyEntry] = []
        for route in snapshot.routes:
            pattern = glob_pattern(route.model) if route.glob and route.model is not None else None
            entry = PolicyEntry(make.policy(route), route.path, route.headers, pattern)
            if route.guards is not None and route.guards.reads_answers:
                reads_answers.append(entry)
            if route.model is None:
                any_model.append(entry)
            elif route.glob:
                globs.append(entry)
            else:
                exact.setdefault(route.model, []).append(entry)
            await turns.give()
        names = {}
        for name, bindings in snapshot.names.items():
            names[name] = make.of_name(name, bindings)
            await turns.give()
        pool_rules = {}
        by_address: dict[str, str] = {}
        for pool in snapshot.pools:
            pool_rules[pool.key] = make.of_pool(pool)
            by_address.update(dict.fromkeys(sets.addresses(pool.key), pool.key))
            await turns.give()
        sets.end()
        return RoutingIndex(
            snapshot=snapshot,
            exact={model: tuple(entries) for model, entries in exact.items()},
            globs=tuple(globs),
            any_model=tuple(any_model),
            names=names,
            pools=make.pools,
            pool_rules=pool_rules,
            unnamed=make.of_only_pool(),
            by_address=by_address,
            attempts=attempts,
            fixed_plan=make.plan(self._plans.in_pool),
            keywords=KeywordSets({one.name: one.words for one in snapshot.keywords}),
            tenants={one.name: TenantRules.of(one) for one in snapshot.tenants},
            answer_ways=tuple(reads_answers),
        )


def profiles_of(snapshot: RoutingSnapshot) -> list[ProfileSnapshot]:
    """Every profile a snapshot uses."""
    found = [pool.scheduling for pool in snapshot.pools]
    found += [
        rule.scheduling
        for route in snapshot.routes
        for rule in (*route.rules, *route.instead)
        if rule.scheduling is not None
    ]
    return [*found, ProfileSnapshot()]


class _Builder:
    """Makes rules; those with equal candidates share one candidate set."""

    def __init__(
        self,
        snapshot: RoutingSnapshot,
        profiles: ProfileBook,
        sets: CandidateSets,
        plans: Plans,
        conditions: Mapping[str, Condition],
        transforms: Mapping[str, Transform],
    ) -> None:
        self.pools = {pool.key: pool for pool in snapshot.pools}
        self._profiles = profiles
        self._sets = sets
        self._plans = plans
        self._conditions = conditions
        self._transforms = transforms
        self._policies: dict[str, Policy] = {}
        self._some_stay = any(map(_stays_here, snapshot.routes))
        self._tenants = {
            one.name: SpendingRules.of(tenant_scope(one.name), one.governance)
            for one in snapshot.tenants
            if one.governance is not None
        }

    def policy(self, route: PolicyRoute) -> Policy:
        """The policy of one way into it; all its ways have the same."""
        known = self._policies.get(route.policy)
        if known is None:
            instead = tuple([self._route(route, rule) for rule in route.instead])
            by_model = self._by_model(route)
            rules = tuple([self._rule(route, rule, instead, by_model) for rule in route.rules])
            overrides = route.overrides
            known = self._policies[route.policy] = Policy(
                route.policy,
                rules,
                route.otherwise,
                None if overrides is None else overrides.header,
                {}
                if overrides is None
                else {rule.route.rule: rule for rule in rules if rule.route.rule in overrides.rules},
                self._plans.features(frozenset().union(*map(_wanted, rules)), local=self._local(route)),
                route.governance,
            )
        return known

    def _local(self, route: PolicyRoute) -> bool:
        """Whether its requests, or those that it leaves to the next policy, are to be shown to nobody."""
        return _stays_here(route) or (self._some_stay and route.otherwise is Otherwise.NEXT)

    def _by_model(self, of: PolicyRoute) -> dict[str, Transform]:
        """What models of a policy get, by the names that its rules and spent budgets have for them."""
        return {
            model: self._transforms[name]
            for rule in (*of.rules, *of.instead)
            for model, name in rule.transforms.items()
        }

    def _rule(
        self,
        of: PolicyRoute,
        rule: RuleSnapshot,
        instead: tuple[Route, ...],
        by_model: Mapping[str, Transform],
    ) -> Rule:
        condition = None if rule.when is None else self._conditions[rule.when]
        route = self._route(of, rule)
        objective = route.objective
        plan = self._plans.placing if objective is None else self._plans.choosing(objective.reads)
        if by_model and any(model in by_model for way in (route, *instead) for model in way.models):
            plan = self._plans.transforming(plan, by_model)
        if of.queue is not None:
            plan = self._plans.queued(plan, of.policy, of.queue, of.pools)
        budget = rule.output_budget
        clamp_at = None if budget is None else budget.most_output
        fallback = route.fallback
        leaves_spent = fallback is not None and FallbackReason.BUDGET in fallback.at_decision
        plan = self.plan(plan, of, instead, clamp_at, leaves_spent=leaves_spent)
        if of.guards is not None:
            trusts = self._trusts((rule, *of.instead))
            plan = self._plans.guarded(plan, of.policy, of.guards, trusts, rule.require)
        return Rule(route, plan, condition)

    def plan(
        self,
        plan: Plan,
        of: PolicyRoute | None = None,
        instead: tuple[Route, ...] = (),
        clamp_at: int | None = None,
        *,
        leaves_spent: bool = False,
    ) -> Plan:
        """The plan with what its policy and the tenants bound; as it is where they bound nothing."""
        governance = None if of is None else of.governance
        if governance is None and not self._tenants:
            return plan
        policy = "" if of is None else of.policy
        return self._plans.governed(
            plan,
            policy,
            governance or GovernanceSnapshot(),
            instead,
            clamp_at,
            self._tenants,
            leaves_spent=leaves_spent,
        )

    def _trusts(self, rules: Iterable[RuleSnapshot]) -> frozenset[str]:
        """Whom requests of some rules may go to: the pools' label `trust`."""
        named = [one for rule in rules for one in rule.candidates]
        named += [one for rule in rules if rule.fallback is not None for one in rule.fallback.to]
        pools = [self.pools[one.pool] for model in named for one in model.bindings if one.pool in self.pools]
        return frozenset(pool.labels.get(TRUST, OWN if pool.external is None else PROVIDER) for pool in pools)

    def _route(self, of: PolicyRoute, rule: RuleSnapshot) -> Route:
        policy = of.policy
        candidates, fallback = rule.candidates, rule.fallback
        weights = tuple(candidate.weight for candidate in candidates if candidate.weight is not None)
        named = candidates if fallback is None else (*candidates, *fallback.to)
        models = tuple(candidate.model for candidate in named)
        tiers = tuple(candidate.bindings for candidate in named)
        found = self._sets.of(tiers, self.pools)
        objective = None
        if rule.objective is not None:
            objective = rule_objective(
                rule.objective,
                rule.output_budget,
                rule.stickiness,
                rule=f"{policy}/{rule.name}",
                models=models,
                candidates=found,
                pools=self.pools,
            )
        return Route(
            candidates=found,
            policy=policy,
            rule=rule.name,
            weights=weights if len(weights) == len(candidates) > 1 else None,
            models=models,
            profile=self._profile(tiers, rule.scheduling),
            pools=self.pools,
            sticky_by=rule.sticky_by,
            objective=objective,
            fallback=None
            if fallback is None
            else fallback_of(
                fallback,
                len(candidates),
                abilities_of(found, [one for tier in tiers for one in tier], self.pools),
            ),
            tier_pools=tuple([frozenset([one.pool for one in tier]) for tier in tiers]),
            spread=spread_of(len(candidates)) if of.queue is not None and _spreads(rule, found) else None,
            timeouts=rule.timeouts,
        )

    def of_name(self, name: str, bindings: tuple[Binding, ...]) -> Rule:
        """What serves a name that no policy matches."""
        return Rule(self._unruled((bindings,), name), self.plan(self._plans.placing))

    def of_pool(self, pool: PoolSnapshot) -> Rule:
        """Any server of a pool."""
        whatever = Binding(pool=pool.key, upstream_model="", kind=NameKind.MODEL)
        return Rule(self._unruled(((whatever,),), ""), self._plans.forwarded)

    def of_only_pool(self) -> Rule | None:
        """Any server of the only pool; None where there are more, or none."""
        if len(self.pools) != 1:
            return None
        [pool] = self.pools.values()
        return Rule(self.of_pool(pool).route, self.plan(self._plans.placing))

    def _unruled(self, tiers: Tiers, model: str) -> Route:
        candidates = self._sets.of(tiers, self.pools)
        return Route(candidates, None, None, None, (model,), self._profile(tiers, None), self.pools)

    def _profile(self, tiers: Tiers, own: ProfileSnapshot | None) -> Profile:
        """The policy's own profile, else that of the first pool with a candidate."""
        if own is None:
            pools = (self.pools.get(binding.pool) for bindings in tiers for binding in bindings)
            own = next((pool.scheduling for pool in pools if pool is not None), _DEFAULT_PROFILE)
        return self._profiles.profile(own)


def _spreads(rule: RuleSnapshot, candidates: CandidateSet) -> bool:
    """Whether a full model may be passed over: none that a request has to stay with."""
    stays = rule.sticky_by is not None or rule.stickiness is not None
    return len(rule.candidates) > 1 and candidates.admission is not None and not stays


def _stays_here(route: PolicyRoute) -> bool:
    """Whether no text of its requests may be sent to a classifier: it is asked before a rule has won."""
    guarded = route.guards is not None and any(one.action != "flag" for one in route.guards.content)
    return guarded or any(rule.require for rule in route.rules)


def _wanted(rule: Rule) -> frozenset[str]:
    """Features that its condition reads, or its stages need."""
    plan = rule.plan
    read = frozenset() if rule.condition is None else frozenset(map(feature_of, rule.condition.reads))
    return read.union(*(stage.needs for stage in (*plan.governance, *plan.deciding, *plan.committing)))
