"""One Envoy that has a stream open: what it may be told, what it has asked for, and whether it keeps up."""

import asyncio
from dataclasses import dataclass, field

from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.catalog import Catalog
from pilotage_extproc.envoy.xds.subscription import Subscription


@dataclass(slots=True, eq=False)
class ConnectedEnvoy:
    """One connected Envoy."""

    name: str
    reach: Reach
    catalog: Catalog
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    """By type URL."""
    work: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something may have to be sent."""
    _behind_since: float | None = None

    @property
    def listens(self) -> bool:
        """Whether it asks for endpoints."""
        return names.ENDPOINTS_TYPE in self.subscriptions

    def has(self, kind: str, name: str) -> bool:
        """Whether it has confirmed the newest bytes of a resource."""
        edition, subscription = self.catalog.edition(kind), self.subscriptions.get(kind)
        if edition is None or subscription is None or name not in edition.since:
            return False
        return subscription.acked.get(name, 0) >= edition.since[name]

    def knows(self, address: str) -> bool:
        """Whether it has confirmed endpoints among which this is."""
        since = self.catalog.address_since.get(address)
        acked = self.subscriptions[names.ENDPOINTS_TYPE].acked.get(names.MODELS_CLUSTER, 0)
        return since is not None and since <= acked

    def owes(self, now: float) -> None:
        """There is something that it has not confirmed; it may have been owing before."""
        if self._behind_since is None:
            self._behind_since = now

    def confirms(self, now: float) -> None:
        """It has confirmed something, which may not be the newest."""
        self._behind_since = None if self.has(names.ENDPOINTS_TYPE, names.MODELS_CLUSTER) else now

    def is_late(self, now: float, patience_seconds: float) -> bool:
        """Whether it has confirmed nothing for that long, though there was something to confirm."""
        return self._behind_since is not None and now - self._behind_since >= patience_seconds
