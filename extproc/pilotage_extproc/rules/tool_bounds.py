"""One rule on tools, ready for requests."""

from collections.abc import Iterable

from pilotage_api.conditions.variables import feature_of
from pilotage_api.guards_snapshot import ToolRuleSnapshot
from pilotage_extproc.rules.condition import Condition, Values, condition_of
from pilotage_extproc.rules.globs import glob_pattern


class ToolBounds:
    """What a rule lets through."""

    def __init__(self, rule: ToolRuleSnapshot) -> None:
        self._condition: Condition | None = None if rule.when is None else condition_of(rule.when)
        self._allow = tuple(map(glob_pattern, rule.allow))
        self._deny = tuple(map(glob_pattern, rule.deny))
        self._provider_run = tuple(map(glob_pattern, rule.provider_run))
        self.maximum = rule.maximum
        self.one_call = rule.one_call
        reads: Iterable[str] = () if self._condition is None else self._condition.reads
        self.reads = frozenset(map(feature_of, reads))
        """Features that its condition reads."""

    def holds(self, values: Values) -> bool:
        """Whether it counts for a request; a condition without a result counts: it only tightens."""
        if self._condition is None:
            return True
        verdict = self._condition.holds(values)
        return verdict.holds or verdict.reason is not None

    def allows(self, name: str) -> bool:
        """Whether a tool of this name may be offered."""
        if any(pattern.match(name) for pattern in self._deny):
            return False
        return not self._allow or any(pattern.match(name) for pattern in self._allow)

    def allows_type(self, kind: str) -> bool:
        """Whether a tool of this type may be, which the provider runs."""
        return any(pattern.match(kind) for pattern in self._provider_run)
