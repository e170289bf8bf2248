"""A policy's limits and budgets, compiled, and what is odd about them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.governance import BudgetLimit, Governance
from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot
from pilotage_api.guards_snapshot import GuardsSnapshot
from pilotage_api.modelpool import ModelPool
from pilotage_api.snapshot import Binding, CandidateModel, RuleSnapshot
from pilotage_api.store_settings import StoreSettings
from pilotage_api.transform_snapshot import TransformSnapshot

_NEEDS_STORE = "a hard budget needs one place that all pickers count at, and that survives them"


@dataclass(slots=True, frozen=True)
class Spending:
    """What compiling limits and budgets takes, beside the policy."""

    store: StoreSettings
    facts: dict[str, tuple[ModelSnapshot, ...]]
    """Of the models of each pool."""
    unsalted: frozenset[str]
    """Pools whose engines keep no prefix caches apart."""

    @classmethod
    def of(cls, store: StoreSettings, pools: Iterable[ModelPool]) -> "Spending":
        """Of all pools there are."""
        pools = list(pools)
        facts = {
            pool.resource_key.key: tuple(model.snapshot() for model in pool.spec.models) for pool in pools
        }
        unsalted = (pool for pool in pools if pool.spec.external is not None or pool.spec.engine != "vllm")
        return cls(store, facts, frozenset(pool.resource_key.key for pool in unsalted))

    def facts_of(self, binding: Binding) -> ModelSnapshot | None:
        """What is known of the model behind a name."""
        for one in self.facts.get(binding.pool, ()):
            if binding.upstream_model in (one.upstream_model, *one.adapters):
                return one
        return None


@dataclass(slots=True, frozen=True)
class Governed:
    """What a policy bounds, and the rules that take over when a budget is spent."""

    governance: GovernanceSnapshot | None = None
    instead: tuple[RuleSnapshot, ...] = ()
    guards: GuardsSnapshot | None = None
    """Content and tools."""


def compile_governance(
    governance: Governance | None,
    rules: tuple[RuleSnapshot, ...],
    candidates: Callable[[list[str], str], tuple[CandidateModel, ...]],
    spending: Spending,
    key: ResourceKey,
    find: Find,
    transforms: Mapping[str, TransformSnapshot] = MappingProxyType({}),
) -> Governed:
    """Limits and budgets of a policy; `candidates` compiles models that stand at a path of it.

    `transforms` is what its models get.
    """
    if governance is None or not (governance.limits or governance.budgets or governance.kv_isolation):
        return Governed()
    budgets: list[BudgetLimitSnapshot] = []
    instead: list[RuleSnapshot] = []
    for index, budget in enumerate(governance.budgets):
        number = None
        if budget.when_spent is not None:
            path = f"spec.governance.budgets[{index}].whenSpent"
            models = [one.model for one in budget.when_spent.candidates]
            number = len(instead)
            name = f"budgets[{index}].whenSpent"
            scheduling = rules[0].scheduling
            found = candidates(models, path)
            given = {model: transforms[model].name for model in models if model in transforms}
            instead.append(RuleSnapshot(name=name, candidates=found, scheduling=scheduling, transforms=given))
        budgets.append(budget.snapshot(number))
    _find_in_budgets(governance.budgets, (*rules, *instead), spending, key, find)
    if governance.kv_isolation is not None:
        _find_not_isolated((*rules, *instead), spending, key, find)
    unkept = any(budget.hard for budget in budgets) and spending.store.valkey is None
    return Governed(
        GovernanceSnapshot(
            limits=tuple(limit.snapshot() for limit in governance.limits),
            budgets=tuple(budgets),
            kv_isolation=governance.kv_isolation is not None,
            unenforceable="a hard budget needs governance.store.valkey" if unkept else None,
        ),
        tuple(instead),
    )


def _find_not_isolated(
    rules: tuple[RuleSnapshot, ...], spending: Spending, key: ResourceKey, find: Find
) -> None:
    pools = {one.pool for rule in rules for candidate in rule.candidates for one in candidate.bindings}
    for pool in sorted(pools & spending.unsalted):
        message = f"has no effect at pool {pool}: only vLLM keeps prefix caches apart"
        fix = "leave its models out, or give tenants pools of their own"
        find(Severity.WARNING, "not-isolated", message, key, "spec.governance.kvIsolation", fix)


def find_not_kept(
    budgets: list[BudgetLimit], store: StoreSettings, key: ResourceKey, path: str, find: Find
) -> None:
    """Tell of budgets whose books do not outlive what keeps them."""
    if not budgets or store.journal_dir is not None:
        return
    if store.valkey is None:
        message = "what was spent is forgotten when the picker restarts"
        fix = "set governance.store.journalDir or governance.store.valkey"
        find(Severity.WARNING, "not-kept", message, key, path, fix)
    elif any(budget.mode == "hard" for budget in budgets):
        message = "what was spent is lost where the Valkey loses its data after pickers have restarted"
        fix = "set governance.store.journalDir (store.journalClaim of the chart)"
        find(Severity.WARNING, "not-kept", message, key, path, fix)


def _find_in_budgets(
    budgets: list[BudgetLimit],
    rules: tuple[RuleSnapshot, ...],
    spending: Spending,
    key: ResourceKey,
    find: Find,
) -> None:
    hard = [index for index, budget in enumerate(budgets) if budget.mode == "hard"]
    store = spending.store
    if hard and store.valkey is None:
        path = f"spec.governance.budgets[{hard[0]}].mode"
        message = f"{_NEEDS_STORE}: until then its requests are answered 503"
        find(Severity.ERROR, "needs-store", message, key, path, "set governance.store.valkey, or mode: soft")
    else:
        find_not_kept(budgets, store, key, "spec.governance.budgets", find)
    if not budgets:
        return
    for candidate in {one.model: one for rule in rules for one in rule.candidates}.values():
        for binding in candidate.bindings:
            facts = spending.facts_of(binding)
            whose = f"{candidate.model!r} of pool {binding.pool}"
            if facts is None or facts.pricing is None:
                then = "requests that it may answer are answered 400" if hard else "it counts as free"
                message = f"no price is known of {whose}: {then}"
                fix = "add pricing to the model of that pool"
                find(Severity.WARNING, "no-price", message, key, "spec.governance.budgets", fix)
            elif hard and facts.max_output_tokens is None:
                message = f"nothing bounds the output of {whose}: clients must set max_tokens, or get 400"
                fix = "add maxOutputTokens to the model of that pool"
                find(Severity.WARNING, "no-output-bound", message, key, "spec.governance.budgets", fix)
