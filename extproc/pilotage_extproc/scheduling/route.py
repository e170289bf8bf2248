"""Where a request may go: candidates, how they are chosen among, and who says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from pilotage_api.snapshot import PoolSnapshot, TimeoutsSnapshot
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.scheduling.objective import RuleObjective
from pilotage_extproc.scheduling.profile import Profile
from pilotage_extproc.scheduling.shaping import Fallback


@dataclass(slots=True, frozen=True)
class Route:
    """One rule of a policy, or a name that no policy matches."""

    candidates: CandidateSet
    policy: str | None
    rule: str | None
    weights: tuple[int, ...] | None
    """Chance of each tier to come first; None keeps the order written."""
    models: tuple[str, ...]
    """The model of each tier, as the rule or the client names it."""
    profile: Profile
    """How its candidates are chosen among."""
    pools: Mapping[str, PoolSnapshot]
    """All pools of the snapshot, by key."""
    sticky_by: str | None = None
    """Header by whose value the draw by weight is made; None draws anew for each request."""
    objective: RuleObjective | None = None
    """Compares all candidates; None tries models in order."""
    fallback: Fallback | None = None
    """Which of its tiers are fallbacks, and when requests go there; None is that of no rule."""
    spread: Fallback | None = None
    """Where its requests wait for room at any of its models: those without any come after the others."""
    tier_pools: tuple[frozenset[str], ...] = ()
    """Keys of each tier's pools, with servers or without."""
    timeouts: TimeoutsSnapshot | None = None
    """How long its requests may take; None is no bound of its own."""

    @property
    def shaping(self) -> Fallback | None:
        """What moves models of its list; None leaves them as they stand."""
        return self.spread if self.fallback is None else self.fallback
