"""What policies were compiled to, kept by who compiles again: one that is the same gives the same.

A policy's routes depend on the policy, on `Surroundings`, and on no other policy. Where the surroundings
change all policies are compiled anew: what a name means to a policy may hang on any pool.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.in_force import InForce
from pilotage_api.modelpool import ModelPool
from pilotage_api.naming import NameRegistry
from pilotage_api.precedence import WayIn
from pilotage_api.routepolicy import RoutePolicy
from pilotage_api.settings import GatewaySettings


@dataclass(slots=True, frozen=True)
class Surroundings:
    """All that a policy's routes depend on, beside the policy."""

    settings: GatewaySettings
    pools: tuple[ModelPool, ...]
    refused: Mapping[str, tuple[ResourceKey, ...]]
    """Pools that are refused, by the names that they would have."""
    labels: Mapping[str, Mapping[str, str]]
    """Of namespaces."""
    since: Mapping[tuple[ResourceKey, str, tuple[str, str]], int]
    """When each claim on a name was first there."""
    installed: frozenset[str]
    """Plug-ins."""

    @classmethod
    def of(
        cls,
        settings: GatewaySettings,
        pools: list[ModelPool],
        refused: Mapping[str, tuple[ResourceKey, ...]],
        in_force: InForce,
        names: NameRegistry,
        installed: frozenset[str],
    ) -> "Surroundings":
        """Those of one compilation."""
        return cls(settings, tuple(pools), refused, in_force.namespace_labels, names.held.since, installed)


class Told(NamedTuple):
    """A finding, before it is known where in which file its resource stands now."""

    severity: Severity
    code: str
    message: str
    key: ResourceKey
    path: str
    fix: str


class CompiledPolicy(NamedTuple):
    """What one policy was compiled to."""

    policy: RoutePolicy
    ways: tuple[WayIn, ...]
    told: tuple[Told, ...]

    def tell(self, find: Find) -> None:
        """All its findings."""
        for one in self.told:
            find(*one)


@dataclass(slots=True, frozen=True)
class CompiledPolicies:
    """All policies of one compilation, and what they were compiled among."""

    around: Surroundings | None = None
    by_key: Mapping[ResourceKey, CompiledPolicy] = field(default_factory=dict)

    def among(self, around: Surroundings) -> "CompiledPolicies":
        """Those that still hold among these surroundings: all, or none."""
        return self if self.around == around else CompiledPolicies(around)

    def of(self, policy: RoutePolicy) -> CompiledPolicy | None:
        """What this very policy was compiled to; None for one that was read anew."""
        found = self.by_key.get(policy.resource_key)
        return found if found is not None and found.policy is policy else None
