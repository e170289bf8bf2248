"""The governance floor: what policies may not loosen, neither by being wrong nor by being more specific."""

import re
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from pilotage_api.calls import is_under
from pilotage_api.findings import Find, Severity
from pilotage_api.governance_rules import Governed
from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot, RateLimitSnapshot
from pilotage_api.in_force import InForce
from pilotage_api.load import Loaded
from pilotage_api.naming import EVERY_NAMESPACE
from pilotage_api.precedence import WayIn, ways_in
from pilotage_api.resource import ModelName, ObjectMeta
from pilotage_api.routepolicy import HeaderRule, Match, PathRule, RoutePolicy, RoutePolicySpec
from pilotage_api.snapshot import CandidateModel, PathMatch, PolicyRoute, RuleSnapshot

_LISTS: Final[dict[str, TypeAdapter[Any]]] = {
    "models": TypeAdapter(list[ModelName]),
    "headers": TypeAdapter(list[HeaderRule]),
    "paths": TypeAdapter(list[PathRule]),
}
_NOBODY: Final = CandidateModel(model="-", weight=None, bindings=())
INVALID: Final = "it is invalid as it stands"
_NO_RULES: Final = RoutePolicySpec.model_validate({"rules": [{"candidates": [{"model": "-"}]}]})
_AMOUNTS: Final = ("requests", "input_tokens", "output_tokens", "total_tokens", "concurrent")


def refused_ways(loaded: Loaded, in_force: InForce, namespaces: frozenset[str], find: Find) -> list[WayIn]:
    """Ways into governing policies that are wrong and have no revision in force: they refuse what they match.

    What cannot be read of a match counts as any.
    """
    ways: list[WayIn] = []
    for key in sorted(loaded.refused):
        spec = loaded.refused_specs.get(key)
        if key.kind != "RoutePolicy" or key in in_force.resources or not isinstance(spec, dict):
            continue
        if spec.get("governance") is None or (
            EVERY_NAMESPACE not in namespaces and key.namespace not in namespaces
        ):
            continue
        stand_in = RoutePolicy.model_construct(
            metadata=ObjectMeta.model_construct(name=key.name, namespace=key.namespace),
            spec=_NO_RULES.model_copy(update={"match": _match(spec)}),
        )
        rules = (RuleSnapshot(name="rules[0]", candidates=(_NOBODY,)),)
        ways += ways_in(stand_in, rules, Governed(GovernanceSnapshot(unenforceable=INVALID)))
        message = "governs, and is invalid: requests that it matches are refused until it is corrected"
        find(Severity.ERROR, "refuses", message, key, "spec", "correct what is wrong with it")
    return ways


def _match(spec: dict[str, Any]) -> Match:
    written = spec.get("match")
    written = written if isinstance(written, dict) else {}
    read: dict[str, Any] = {}
    for name, reader in _LISTS.items():
        try:
            read[name] = reader.validate_python(written.get(name) or [])
        except ValidationError:
            read[name] = []
    return Match.model_construct(**read)


def find_outranked(ways: list[WayIn], find: Find) -> None:
    """Tell policies that come after a laxer one for some of their requests; `ways` stand in order.

    Governance is compared once for each two that differ: most policies of a gateway bound alike.
    """
    before: dict[GovernanceSnapshot | None, list[WayIn]] = {}
    laxer: dict[tuple[GovernanceSnapshot | None, GovernanceSnapshot], bool] = {}
    for way in ways:
        governance = way.route.governance
        if governance is not None:
            for one in before:
                if (one, governance) not in laxer:
                    laxer[one, governance] = is_laxer(one, governance)
            looser = (one for kind, found in before.items() if laxer[kind, governance] for one in found)
            winner = next(
                (one for one in looser if one.policy != way.policy and _overlap(one.route, way.route)), None
            )
            if winner is not None:
                _tell_outranked(way, winner, find)
        before.setdefault(governance, []).append(way)


def _tell_outranked(way: WayIn, winner: WayIn, find: Find) -> None:
    message = f"{winner.policy} comes first for some of its requests and is less strict: those are refused"
    fix = f"give {winner.policy} the same governance, or make their matches differ"
    find(Severity.ERROR, "outranked", message, way.policy, "spec.governance", fix)


def is_laxer(one: GovernanceSnapshot | None, other: GovernanceSnapshot | None) -> bool:
    """Whether a policy lets anything through that the other would not."""
    if other is None or one is other:
        return False
    if one is None:
        return other != GovernanceSnapshot()
    if one.unenforceable is not None:
        return False
    return (
        other.unenforceable is not None
        or (other.kv_isolation and not one.kv_isolation)
        or not all(any(_as_strict(mine, limit) for mine in one.limits) for limit in other.limits)
        or not all(any(_as_hard(mine, budget) for mine in one.budgets) for budget in other.budgets)
    )


def _as_strict(mine: RateLimitSnapshot, limit: RateLimitSnapshot) -> bool:
    if (mine.per, mine.window_seconds) != (limit.per, limit.window_seconds):
        return False
    bounds = ((getattr(mine, name), getattr(limit, name)) for name in _AMOUNTS)
    return all(theirs is None or (own is not None and own <= theirs) for own, theirs in bounds)


def _as_hard(mine: BudgetLimitSnapshot, budget: BudgetLimitSnapshot) -> bool:
    same = (mine.per, mine.period, mine.time_zone) == (budget.per, budget.period, budget.time_zone)
    return same and float(mine.usd) <= float(budget.usd) and (mine.hard or not budget.hard)


def _overlap(one: PolicyRoute, other: PolicyRoute) -> bool:
    """Whether a request may match both; in doubt it may."""
    values = {header.name: header.value for header in one.headers}
    for header in other.headers:
        value = values.get(header.name)
        if value is not None and header.value is not None and value != header.value:
            return False
    return _models_overlap(one, other) and _paths_overlap(one.path, other.path)


def _models_overlap(one: PolicyRoute, other: PolicyRoute) -> bool:
    if one.model is None or other.model is None or (one.glob and other.glob):
        return True
    if not one.glob and not other.glob:
        return one.model == other.model
    glob, name = (one.model, other.model) if one.glob else (other.model, one.model)
    return _pattern(glob).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _pattern(glob: str) -> "re.Pattern[str]":
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in glob)
    return re.compile("".join(parts), re.DOTALL)


def _paths_overlap(one: PathMatch | None, other: PathMatch | None) -> bool:
    if one is None or other is None or one.value == other.value:
        return True
    return (one.prefix and is_under(other.value, one.value)) or (
        other.prefix and is_under(one.value, other.value)
    )
