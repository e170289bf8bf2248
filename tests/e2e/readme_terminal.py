"""The commands of an example's README, run as a user would, in a shell and on free ports."""

import asyncio
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from examples_rig import EXAMPLES

_BLOCK: Final = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_MARK: Final = "-- done --"


class ReadmeTerminal:
    """A shell in a copy of the checkout; `shown` is all that was printed in it."""

    def __init__(self, folder: Path, example: str, ports: Mapping[str, int]) -> None:
        """`ports` are free ones by those that the example names; 8080, 9002 and 9003 are the gateway's."""
        self.ports = ports
        copy = folder / "examples" / example
        shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns("tls", "__pycache__"))
        (folder / ".venv").symlink_to(sys.prefix)
        (copy / "pools.yaml").write_text(self.moved((copy / "pools.yaml").read_text()))
        listen = "listen: {gateway: '127.0.0.1:8080', extproc: '127.0.0.1:9002', admin: '127.0.0.1:9003'}"
        settings = (copy / "pilotage.yaml").read_text().replace("spec:\n", f"spec:\n  {listen}\n")
        (copy / "pilotage.yaml").write_text(self.moved(settings))
        self.blocks = [self.moved(block) for block in _BLOCK.findall((copy / "README.md").read_text())]
        self.folder = folder
        self.shown = ""

    def moved(self, text: str) -> str:
        """The same with free ports, and told of them where the README relies on defaults."""
        text = text.replace("pilotage explain", "pilotage explain --admin 127.0.0.1:9003")
        for usual, free in self.ports.items():
            text = re.sub(rf"\b{usual}\b", str(free), text)
        return text

    async def start(self) -> None:
        """Open it."""
        self._shell = await asyncio.create_subprocess_exec(
            "bash",
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._shell.stdout is not None
        while data := await self._shell.stdout.read(65536):
            self.shown += data.decode()

    async def run(self, needle: str) -> str:
        """Run the next block, which has this in it, until the prompt is back; what was printed meanwhile."""
        block = self.blocks.pop(0)
        assert needle in block
        assert self._shell.stdin is not None
        before = len(self.shown)
        self._shell.stdin.write(f"{block}\necho '{_MARK}'\n".encode())
        await self.until(lambda: _MARK in self.shown[before:])
        return self.shown[before:]

    async def until(self, true: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for something to become true."""
        until = asyncio.get_running_loop().time() + seconds
        while not true():
            assert asyncio.get_running_loop().time() < until, self.shown
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End it and what it started."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(b"kill $(jobs -p) 2>/dev/null; wait; exit\n")
        try:
            await asyncio.wait_for(self._shell.wait(), 30)
        finally:
            if self._shell.returncode is None:
                self._shell.kill()
            self._reading.cancel()
