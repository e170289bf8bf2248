"""The commands of examples/fallback/README.md, run as a user would, on free ports."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from readme_terminal import Terminal

NAMES = {"llama-8b", "gpt-x", "claude-x"}
TOLD = {
    "pilotage explain": "pilotage explain --admin 127.0.0.1:9003",
    "load.py": "load.py --url http://127.0.0.1:8080",
}
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the commands need curl")


class Fallback(Terminal):
    """That of the example with fallback."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "fallback", ("18201", "18202", "18203"), "18211", "18212", told=TOLD)

    async def answered_by(self, *models: str) -> None:
        """Until a second of the load, from now on, is answered by these and no other."""
        begin = len(self.shown)

        def only_these() -> bool:
            lines = re.findall(r'^\{"answers": (\{.*?\})', self.shown[begin:], re.MULTILINE)
            return any({name for name, n in json.loads(one).items() if n} == set(models) for one in lines)

        await self.until(only_these)

    async def _decisions(self, failed: bool) -> list[dict[str, Any]]:
        """The last decisions, newest first."""
        address = f"http://127.0.0.1:{self.ports['9003']}/decisions?limit=1000&failed={str(failed).lower()}"
        async with aiohttp.ClientSession() as session, session.get(address) as answer:
            return list((await answer.json())["decisions"])

    async def some_decision(
        self, fits: Callable[[dict[str, Any]], object], *, failed: bool = True
    ) -> dict[str, Any]:
        """One that fits, once there is one; of which an attempt failed, or any."""
        async with asyncio.timeout(20):
            while True:
                for one in await self._decisions(failed):
                    if one["outcome"] is not None and fits(one):
                        return one
                await asyncio.sleep(0.2)


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Fallback]:
    one = Fallback(tmp_path)
    await one.start()
    yield one
    await one.close()


def attempts(decision: dict[str, Any]) -> list[tuple[int, int | None]]:
    return [(one["attempt"], one["status"]) for one in decision["failedAttempts"]]


def served_by(decision: dict[str, Any]) -> str | None:
    """The model of the attempt that answered."""
    at = decision["outcome"]["servedBy"]
    return next((one["model"] for one in decision["attempts"] if one["address"] == at), None)


async def test_no_client_notices_that_the_pool_dies_and_a_provider_has_had_enough(terminal):
    await terminal.run("export PROVIDER_ONE_KEY")
    await terminal.run("pilotage sim --count 3")
    await terminal.until(lambda: terminal.shown.count("serving on ") == 5)
    checked = await terminal.run("pilotage check")
    assert "0 errors, 0 warnings" in checked
    await terminal.until(lambda: "admin   on" in terminal.shown)
    await terminal.run("load.py")
    await terminal.answered_by("llama-8b")

    await terminal.run("kill -9 $OWN")
    await terminal.answered_by("gpt-x")
    explained = await terminal.run("--failed")
    assert "failed   attempt 1 at " in explained
    died = await terminal.some_decision(lambda one: served_by(one) == "gpt-x")
    assert [number for number, _ in attempts(died)] == list(range(1, died["outcome"]["attempts"]))
    passed = await terminal.some_decision(lambda one: one["passedOver"], failed=False)
    assert passed["passedOver"][0]["model"] == "llama-8b"

    explained = await terminal.run('"status": 429')
    await terminal.answered_by("claude-x")
    refused = await terminal.some_decision(
        lambda one: served_by(one) == "claude-x" and 429 in [status for _, status in attempts(one)]
    )
    assert refused["failedAttempts"][-1]["stayAwaySeconds"] == 2
    assert "rateLimited, status 429, asks for 2 s" in explained

    await terminal.run('"status": null')
    await terminal.answered_by("gpt-x")
    ended = await terminal.run("wait $LOAD")
    assert "exit code 0" in ended, ended
    assert {name for name in NAMES if f"'{name}'" in ended} == NAMES
    assert terminal.blocks == []
