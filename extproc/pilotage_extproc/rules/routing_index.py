"""The routing index: from a model name, path and headers to rules, without searching policies.

Built off the request path whenever the snapshot or the endpoints change, and swapped in one step.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pilotage_api.arriving_headers import HOST
from pilotage_api.calls import is_under
from pilotage_api.floor import is_laxer
from pilotage_api.snapshot import HeaderMatch, PathMatch, PoolSnapshot, RoutingSnapshot
from pilotage_extproc.features.keywords import NO_KEYWORDS, KeywordSets
from pilotage_extproc.request.plan import NO_PLAN, Plan
from pilotage_extproc.rules.attempt_table import AttemptTable
from pilotage_extproc.rules.authority import authority_fits
from pilotage_extproc.rules.rule import Policy, Rule
from pilotage_extproc.rules.tenant import TenantRules
from pilotage_extproc.scheduling.candidates import renamed

_MAX_FIXED: Final = 1024


@dataclass(slots=True, frozen=True)
class PolicyEntry:
    """One way into a policy, ready to match."""

    policy: Policy
    path: PathMatch | None
    headers: tuple[HeaderMatch, ...]
    pattern: "re.Pattern[str] | None" = None

    def matches(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether path and headers fit; the model is the index's business."""
        want = self.path
        if want is not None and not (is_under(path, want.value) if want.prefix else path == want.value):
            return False
        for header in self.headers:
            if header.name == HOST:
                if not authority_fits(headers, header.value):
                    return False
                continue
            value = headers.get(header.name)
            if value is None or (header.value is not None and value != header.value):
                return False
        return True


@dataclass(slots=True, frozen=True)
class RoutingIndex:
    """Everything routing needs, for one snapshot and one set of endpoints."""

    snapshot: RoutingSnapshot
    exact: dict[str, tuple[PolicyEntry, ...]] = field(default_factory=dict)
    globs: tuple[PolicyEntry, ...] = ()
    any_model: tuple[PolicyEntry, ...] = ()
    names: dict[str, Rule] = field(default_factory=dict)
    """What serves a name that no policy matches."""
    pools: dict[str, PoolSnapshot] = field(default_factory=dict)
    pool_rules: dict[str, Rule] = field(default_factory=dict)
    """For calls that are forwarded to a pool without being understood."""
    unnamed: Rule | None = None
    """For calls that name no model, where there is but one pool."""
    by_address: dict[str, str] = field(default_factory=dict)
    """A pool (`namespace/name`) that has the address; for calls on stored responses."""
    attempts: AttemptTable = field(default_factory=lambda: AttemptTable(RoutingSnapshot()))
    fixed_plan: Plan = NO_PLAN
    """Of requests whose pool the gateway has fixed."""
    keywords: KeywordSets = NO_KEYWORDS
    """Of all policies together; names are `namespace/policy/set`."""
    tenants: dict[str, TenantRules] = field(default_factory=dict)
    """By name; empty where no resource says which there are."""
    answer_ways: tuple[PolicyEntry, ...] = ()
    """Ways into policies that look at answers, or change them."""
    _fixed: dict[tuple[str, str, bool], Rule] = field(default_factory=dict)
    """Rules within a pool, by model as the request names it."""
    _laxer: dict[tuple[Policy, Policy], bool] = field(default_factory=dict)
    """Of two policies that match a request: compared when one first does."""

    def matching(self, model: str, path: str, headers: Mapping[str, str]) -> Iterator[Policy]:
        """Policies that match a request, the most specific first, each once."""
        given: set[Policy] = set()
        for entry in self.exact.get(model, ()):
            if entry.matches(path, headers) and entry.policy not in given:
                yield entry.policy
                given.add(entry.policy)
        for entry in self.globs:
            pattern = entry.pattern
            if (
                pattern is not None
                and pattern.match(model)
                and entry.matches(path, headers)
                and entry.policy not in given
            ):
                yield entry.policy
                given.add(entry.policy)
        for entry in self.any_model:
            if entry.matches(path, headers) and entry.policy not in given:
                yield entry.policy
                given.add(entry.policy)

    def may_read_answer(self, headers: Mapping[str, str]) -> bool:
        """Whether a policy that looks at answers may match a request, whatever its body says."""
        if not self.answer_ways:
            return False
        path = headers.get(":path", "").partition("?")[0]
        return any(entry.matches(path, headers) for entry in self.answer_ways)

    def outranks(self, policy: Policy, stricter: Policy) -> bool:
        """Whether a policy lets anything through that one which comes after it would not."""
        known = self._laxer.get((policy, stricter))
        if known is None:
            known = is_laxer(policy.governance, stricter.governance)
            if len(self._laxer) >= _MAX_FIXED:
                self._laxer.clear()
            self._laxer[policy, stricter] = known
        return known

    def in_pool(self, pool: str, model: str, *, adapter: bool) -> Rule | None:
        """The rule of a request whose gateway has fixed the pool: any server of it, the name unchanged."""
        known = self._fixed.get((pool, model, adapter))
        if known is None:
            base = self.pool_rules.get(pool)
            if base is None:
                return None
            candidates = renamed(base.route.candidates, model, adapter=adapter)
            known = Rule(replace(base.route, candidates=candidates, models=(model,)), self.fixed_plan)
            if len(self._fixed) >= _MAX_FIXED:
                self._fixed.clear()  # clients choose the names: whoever floods it pays a microsecond more
            self._fixed[pool, model, adapter] = known
        return known

    def model_names(self, *, unmatched: bool = True) -> list[str]:
        """Every name a client may ask for: served names, and exact names policies match.

        Without `unmatched` no names that no policy matches.
        """
        named = self.names if unmatched or self.any_model else filter(self._by_glob, self.names)
        return sorted({*named, *self.exact})

    def _by_glob(self, name: str) -> bool:
        return any(entry.pattern is not None and entry.pattern.match(name) for entry in self.globs)


class CurrentIndex:
    """The index in force; the next request follows it."""

    def __init__(self) -> None:
        self._index = RoutingIndex(RoutingSnapshot())

    @property
    def index(self) -> RoutingIndex:
        """The index in force."""
        return self._index

    def may_read_answer(self, headers: Mapping[str, str], *, every: bool = False) -> bool:
        """Of the index in force; `every` says that the gateway's own rules look at all answers."""
        return every or self._index.may_read_answer(headers)

    def install(self, index: RoutingIndex) -> None:
        """Follow this index from the next request on."""
        self._index = index
