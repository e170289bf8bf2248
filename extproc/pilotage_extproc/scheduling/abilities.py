"""What the candidates of a rule are known to be able to take, in columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.model_facts import Capability
from pilotage_api.snapshot import Binding, PoolSnapshot
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.state.breakers import Circuit

_CAPABILITIES: Final = frozenset(get_args(Capability))


@dataclass(slots=True, frozen=True)
class Abilities:
    """Of each candidate; what is unknown of a model counts as possible."""

    windows: NDArray[np.float64] | None
    """Tokens of prompt and answer together; infinite where unknown. None where no model's is known."""
    lacks: Mapping[str, NDArray[np.bool_]]
    """By capability: True where a candidate does not have it; none where all may have it."""

    def too_long(self, tokens: float | NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """True where so many tokens (of all, or of each) do not fit; None where they fit everywhere."""
        if self.windows is None:
            return None
        over = self.windows < tokens
        return over if over.any() else None

    def lacking(self, needed: Iterable[str]) -> NDArray[np.bool_] | None:
        """True where any of some capabilities is missing; None where none is."""
        found: NDArray[np.bool_] | None = None
        for one in needed:
            lacks = self.lacks.get(one)
            if lacks is not None:
                found = lacks if found is None else found | lacks
        return found


NO_ABILITIES: Final = Abilities(None, MappingProxyType({}))
"""Nothing is known of any."""


def abilities_of(
    candidates: CandidateSet, bindings: Iterable[Binding], pools: Mapping[str, PoolSnapshot]
) -> Abilities:
    """The abilities of candidates that stand for these bindings."""
    windows = np.full(len(candidates), np.inf)
    lacks: dict[str, NDArray[np.bool_]] = {}
    known = [(binding, facts) for binding in bindings if (facts := _facts_of(binding, pools)) is not None]
    for binding, facts in known:
        members = candidates.targets.among((Circuit(binding.pool, binding.upstream_model),))
        if facts.context_window is not None:
            windows[members] = facts.context_window
        if facts.capabilities is not None:
            for missing in _CAPABILITIES.difference(facts.capabilities):
                lacks[missing] = members | lacks.get(missing, False)
    return Abilities(windows if np.isfinite(windows).any() else None, lacks)


def _facts_of(binding: Binding, pools: Mapping[str, PoolSnapshot]) -> ModelSnapshot | None:
    pool = pools.get(binding.pool)
    return None if pool is None else pool.facts_of(binding.upstream_model)
