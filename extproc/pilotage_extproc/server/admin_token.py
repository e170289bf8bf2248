"""The admin address's bearer token, from a file that may be renewed while the process runs."""

import hmac
import logging
from pathlib import Path

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.server.addresses import AddressError

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class AdminToken:
    """Accepts what the file holds, at most a second later.

    A file that cannot be read any more, or is empty, leaves the last token in force.
    """

    def __init__(self, path: str, clock: Clock) -> None:
        """Raises AddressError where there is no token to begin with."""
        self._path = path
        self._clock = clock
        self._token = _read(path)
        self._looked_at = clock()

    def accepts(self, given: str) -> bool:
        """Whether this is the token."""
        now = self._clock()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            try:
                self._token = _read(self._path)
            except AddressError as error:
                log.warning("the last admin token stays in force: %s", error)
        # as aiohttp decodes headers
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self._token)


def _read(path: str) -> bytes:
    try:
        token = Path(path).read_bytes().strip()
    except OSError as error:
        raise AddressError(f"adminTokenFile: cannot read {path}: {error.strerror}") from error
    if not token:
        raise AddressError(f"adminTokenFile: {path} is empty")
    return token
