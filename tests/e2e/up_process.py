"""`pilotage up` as a person runs it: a process with an address, an output and an end."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from free_ports import free_ports

COMMAND = [sys.executable, "-c", "from pilotage_cli.main import run; run()"]


class Up:
    """`pilotage up` as a child process."""

    def __init__(self, folder: Path, *, program: Sequence[str] = COMMAND, named: bool = True) -> None:
        """Not `named`: it is started inside the folder and not told of it."""
        self.folder = folder
        self._command = [*program, "up", *(("-f", str(folder)) if named else ())]
        self.temporary = folder.parent / f"{folder.name}-temporary"
        """Where it keeps what should not outlive it."""
        self.gateway, self.extproc, self.admin = free_ports(3)
        self.output = ""

    async def start(self, *more: str) -> None:
        """Until it serves."""
        self.temporary.mkdir(exist_ok=True)
        listen = ["--listen", f"127.0.0.1:{self.gateway}", "--extproc-listen", f"127.0.0.1:{self.extproc}"]
        listen += ["--admin", f"127.0.0.1:{self.admin}"]
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            "--sim",
            *listen,
            *more,
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        while "admin   on" not in self.output:
            line = await asyncio.wait_for(self.process.stdout.readline(), 60)
            assert line, self.output
            self.output += line.decode()

    async def ask(self) -> int:
        body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.gateway}/v1/chat/completions", json=body) as answer,
        ):
            await answer.read()
            return answer.status

    async def ended(self) -> int:
        rest, _ = await asyncio.wait_for(self.process.communicate(), 30)
        self.output += rest.decode()
        return self.process.returncode or 0

    def envoy_pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = set(children.read_text().split())
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            pids |= set((thread / "children").read_text().split())
        [pid] = [int(pid) for pid in pids if "envoy" in Path(f"/proc/{pid}/cmdline").read_text()]
        return pid
