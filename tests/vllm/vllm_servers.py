"""Real vLLM servers as child processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

import aiohttp

HACK = Path(__file__).parents[2] / "hack" / "vllm"
READY_SECONDS = 300


class VllmServer:
    """One server on a port of this machine."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self.address = f"127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start; `wait_ready` tells when it answers."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(HACK), "serve", str(self.port)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"},
            )

    async def wait_ready(self) -> None:
        """Until it is healthy. Raises with the end of its log."""
        loop = asyncio.get_running_loop()
        until = loop.time() + READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while loop.time() < until:
                assert self.process is not None
                if self.process.poll() is not None:
                    break
                try:
                    async with session.get(f"http://{self.address}/health") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.5)
        raise RuntimeError(f"vLLM did not start:\n{self.said()}")

    @property
    def ended_by_itself(self) -> bool:
        """Whether it was started, and is gone though nobody has killed it."""
        return self.process is not None and self.process.poll() is not None

    def said(self) -> str:
        """Its first error with what stands before, and its last words."""
        lines = self.log.read_text(errors="replace").splitlines()
        first = next((at for at, line in enumerate(lines) if "ERROR" in line or "Traceback" in line), None)
        cause = [] if first is None else [*lines[max(0, first - 20) : first + 80], "[...]"]
        return "\n".join([*cause, *lines[-30:]])

    def kill(self) -> None:
        """End it and its engine process at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
