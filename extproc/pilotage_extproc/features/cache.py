"""Features of texts seen before, by a keyed digest: bounded, and no text is kept."""

import hashlib
import secrets
from collections import OrderedDict
from typing import Final

from pilotage_extproc.features.prompt_reader import Features

MOST_ENTRIES: Final = 4096
"""About 2 MB."""


class FeatureCache:
    """The least recently used entry goes first. For one thread, the event loop's."""

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._most = most
        self._key = secrets.token_bytes(32)  # digests mean nothing outside this process
        self._entries: OrderedDict[bytes, Features] = OrderedDict()

    def digest(self, tenant: bytes, wanted: frozenset[str], text: bytes) -> bytes:
        """The key of an entry. Tenants never share one: hits would tell what others ask."""
        found = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (tenant, " ".join(sorted(wanted)).encode()):
            found.update(b"%d " % len(part) + part)
        found.update(text)
        return found.digest()

    def get(self, digest: bytes) -> Features | None:
        """What is known, or None."""
        found = self._entries.get(digest)
        if found is not None:
            self._entries.move_to_end(digest)
        return found

    def put(self, digest: bytes, features: Features) -> None:
        """Keep it."""
        self._entries[digest] = features
        self._entries.move_to_end(digest)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
