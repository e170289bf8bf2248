"""The commands of an example's README, run as a user would, on free ports."""

import asyncio
import re
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from examples_rig import EXAMPLES
from free_ports import free_ports

BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
MARK = "-- done --"
Told = Mapping[str, str]
NOTHING: Final[Told] = MappingProxyType({})


class Terminal:
    """A shell in a copy of the checkout; `shown` is all that was printed in it."""

    def __init__(
        self, folder: Path, name: str, run: tuple[str, ...], *more: str, told: Told = NOTHING
    ) -> None:
        """`run` are ports of the example that follow each other, `more` its others; `told` says what stands
        for a text of its commands, where they rely on defaults.
        """
        gateway = ("8080", "9002", "9003")
        free = [*free_run(len(run)), *free_ports(len(more) + len(gateway))]
        self.ports = dict(zip((*run, *more, *gateway), free, strict=True))
        self._told = told
        example = folder / "examples" / name
        shutil.copytree(EXAMPLES / name, example, ignore=shutil.ignore_patterns("tls", "__pycache__"))
        (folder / ".venv").symlink_to(sys.prefix)
        (example / "pools.yaml").write_text(self._moved((example / "pools.yaml").read_text()))
        listen = "listen: {gateway: '127.0.0.1:8080', extproc: '127.0.0.1:9002', admin: '127.0.0.1:9003'}"
        settings = (example / "pilotage.yaml").read_text().replace("spec:\n", f"spec:\n  {listen}\n")
        (example / "pilotage.yaml").write_text(self._moved(settings))
        self.blocks = [self._moved(block) for block in BLOCK.findall((example / "README.md").read_text())]
        self.folder = folder
        self.shown = ""

    def _moved(self, text: str) -> str:
        """The same with free ports, and told of them where the README relies on defaults."""
        for usual, told in self._told.items():
            text = text.replace(usual, told)
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
        self._shell.stdin.write(f"{block}\necho '{MARK}'\n".encode())
        await self.until(lambda: MARK in self.shown[before:])
        return self.shown[before:]

    async def until(self, true: Callable[[], bool], seconds: float = 100) -> None:
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


def free_run(count: int) -> list[int]:
    """Free ports that follow each other."""
    for _ in range(200):
        first = free_ports(1)[0]
        if all(_is_free(port) for port in range(first, first + count)):
            return list(range(first, first + count))
    raise AssertionError("no free ports follow each other")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
