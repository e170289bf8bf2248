"""The access that is in use: loaded again once it has aged or was refused, by one at a time."""

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pilotage_kube.clock import Time
from pilotage_kube.connection import Credentials

if TYPE_CHECKING:
    from pilotage_kube.access import Access


class Session:
    """Gives the access for the next request."""

    def __init__(self, credentials: Credentials, clock: Time) -> None:
        self._credentials = credentials
        self._clock = clock
        self._access: Access | None = None
        self._until = -math.inf
        self._lock = asyncio.Lock()

    async def access(self, refused: "Access | None" = None) -> "Access":
        """The current one; `refused` is one that was answered 401. Raises ConfigurationError.

        Where certificates have changed, connections that were made with the old ones serve what they have
        begun, and are closed then.
        """
        if found := self._current(refused):
            return found
        async with self._lock:
            if found := self._current(refused):
                return found
            former = self._access
            loaded = await self._credentials.load(refused=refused is not None)
            if former is not None:
                if loaded.transport.fingerprint == former.transport.fingerprint:
                    loaded = replace(loaded, transport=former.transport)
                else:
                    await former.transport.retire()
            self._access = loaded
            valid = loaded.valid_seconds
            self._until = math.inf if valid is None else self._clock() + valid
            return loaded

    def _current(self, refused: "Access | None") -> "Access | None":
        usable = self._access is not refused and self._clock() < self._until
        return self._access if usable else None

    async def close(self) -> None:
        """Close all connections."""
        if self._access is not None:
            await self._access.transport.close()
            self._access = None
