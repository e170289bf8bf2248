"""What guards of a host are shown, and by what they are known: a credential, and authorities of their own."""

import asyncio
import logging
import math
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pilotage_api.guard_hosts import GuardAuth, GuardHost
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.sources.provider_credentials import CredentialError, checked_credential

log = logging.getLogger(__name__)

AGE_SECONDS: Final = 10.0
"""After so long files are looked at again, by the next call."""
_MOST_BYTES: Final = 16 << 10
_MOST_AUTHORITIES_BYTES: Final = 1 << 20
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class GuardAccess:
    """One host's. Files are read in a thread, and no more often than they may have changed."""

    def __init__(self, host: GuardHost | None, clock: Clock, environment: Mapping[str, str] = os.environ):
        self._host = host
        self._clock = clock
        self._environment = environment
        self._lock = asyncio.Lock()
        self._read_at = -math.inf
        self._headers: Mapping[str, str] = _NO_HEADERS
        self._authorities: ssl.SSLContext | None = None
        self._seen_authorities = b""
        self._wrong: CredentialError | None = None

    @property
    def tls(self) -> ssl.SSLContext | bool:
        """What certificates are checked by, once `headers` has been asked for; True is the system's."""
        return self._authorities or True

    async def headers(self) -> Mapping[str, str]:
        """Headers of a call. Raises CredentialError where a file or a variable cannot be used."""
        host = self._host
        if host is None or (host.auth is None and host.ca_file is None):
            return _NO_HEADERS
        if self._clock() - self._read_at >= AGE_SECONDS:
            async with self._lock:
                if self._clock() - self._read_at >= AGE_SECONDS:
                    await self._renew(host)
        if self._wrong is not None:
            raise self._wrong
        return self._headers

    async def _renew(self, host: GuardHost) -> None:
        try:
            self._headers = await asyncio.to_thread(self._read, host)
            self._wrong = None
        except CredentialError as error:
            if self._wrong is None:
                log.warning("a guard cannot be asked", extra={"host": host.host, "error": str(error)})
            self._wrong = error
        self._read_at = self._clock()

    def _read(self, host: GuardHost) -> Mapping[str, str]:
        if host.ca_file is not None:
            self._trust(host.ca_file)
        if host.auth is None:
            return _NO_HEADERS
        return {host.auth.header: f"{host.auth.prefix}{self._credential(host.auth)}"}

    def _credential(self, auth: GuardAuth) -> str:
        if auth.file is not None:
            return checked_credential(_content(auth.file, _MOST_BYTES + 3), auth.file)
        name = auth.env or ""
        value = self._environment.get(name)
        if value is None:
            raise CredentialError(f"the environment has no variable {name}")
        return checked_credential(value.encode(errors="surrogateescape"), f"the variable {name}")

    def _trust(self, file: str) -> None:
        written = _content(file, _MOST_AUTHORITIES_BYTES)
        if written == self._seen_authorities:
            return
        try:
            self._authorities = ssl.create_default_context(cadata=written.decode("ascii"))
        except (UnicodeDecodeError, ssl.SSLError, ValueError):
            raise CredentialError(f"{file} holds no certificates in PEM") from None
        self._seen_authorities = written


def _content(file: str, most_bytes: int) -> bytes:
    """Raises CredentialError."""
    try:
        with Path(file).open("rb") as opened:
            return opened.read(most_bytes)
    except OSError as error:
        raise CredentialError(f"{file} cannot be read: {error.strerror}") from None
