"""API keys that are known now, by their hashes."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_PREFIX_BYTES: Final = 8


@dataclass(slots=True, frozen=True)
class ApiKey:
    """What is known of one key: never the key itself."""

    id: str
    digest: bytes
    """SHA-256 of the key. Keys are random, so nothing slower is needed to keep them from being guessed."""
    tenant: str
    team: str = ""
    expires_at: float | None = None
    """Seconds since the epoch."""


class KeyBook:
    """The keys in force; replaced as a whole."""

    def __init__(self) -> None:
        self._by_prefix: dict[bytes, tuple[ApiKey, ...]] | None = None

    @property
    def known(self) -> bool:
        """Whether anybody has said yet which keys there are."""
        return self._by_prefix is not None

    def follow(self, keys: Iterable[ApiKey]) -> None:
        """These and no others are in force from the next request on."""
        found: dict[bytes, tuple[ApiKey, ...]] = {}
        for key in keys:
            prefix = key.digest[:_PREFIX_BYTES]
            found[prefix] = (*found.get(prefix, ()), key)
        self._by_prefix = found

    def find(self, presented: str, utc_now: float) -> ApiKey | None:
        """The key that a client presents; None where it is unknown or has expired.

        Hashes are looked up by their beginning, which nobody can steer, and compared in constant time.
        """
        digest = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
        for key in (self._by_prefix or {}).get(digest[:_PREFIX_BYTES], ()):
            if hmac.compare_digest(key.digest, digest):
                expired = key.expires_at is not None and key.expires_at <= utc_now
                return None if expired else key
        return None
