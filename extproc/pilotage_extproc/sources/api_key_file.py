"""API keys outside of a cluster: a file of hashes, read again when it changes."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NoReturn

from pilotage_extproc.sources.api_key_records import KeyFault, read_key_file
from pilotage_extproc.state.api_keys import ApiKey

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
"""A key that is revoked is refused from then on at the latest."""


class KeyFileWatch:
    """Follows a file; `run` it as a task. A file that cannot be read leaves in force what was read last."""

    def __init__(self, file: str, on_keys: Callable[[Iterable[ApiKey]], None]) -> None:
        self._path = Path(file)
        self._on_keys = on_keys
        self._seen: object = None
        self.problem = ""
        """Why it cannot be read now; empty where it can."""

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(POLL_SECONDS)

    def look(self) -> None:
        """Read it where it has changed. A file that is gone holds no keys any more."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return
            self._on_keys([record.key() for record in read_key_file(self._path.read_bytes()).keys])
            self._seen, problem = seen, ""
        except FileNotFoundError:
            if self._seen is not None:
                self._on_keys(())
            self._seen, problem = None, "does not exist"
        except OSError as error:
            problem = str(error.strerror)
        except KeyFault as fault:
            problem = str(fault)
        if problem and problem != self.problem:
            log.warning("the file of API keys: %s", problem, extra={"file": str(self._path)})
        self.problem = problem
