"""The commands of examples/content/README.md, run as a user would, on free ports."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from readme_terminal import Terminal

TOLD = {"pilotage explain": "pilotage explain --admin 127.0.0.1:9003"}
EMAIL, SECRET = "alice@mail.example", "AKIAIOSFODNN7EXAMPLE"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the commands need curl")


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    one = Terminal(tmp_path, "content", (), "9101", "9102", told=TOLD)
    await one.start()
    yield one
    await one.close()


def streamed_text(shown: str, member: str) -> str:
    return "".join(
        json.loads(f'"{one}"') for one in re.findall(rf'"{member}": ?"((?:[^"\\\\]|\\\\.)*)"', shown)
    )


async def test_every_command_of_the_readme_does_what_it_says(terminal: Terminal) -> None:
    await terminal.run("echo.py")
    await terminal.until(lambda: "admin   on" in terminal.shown)

    answered = await terminal.run("see https://x.example")
    assert f"Write to {EMAIL}, see https://x.example/?to:[EMAIL_" in answered
    streamed = await terminal.run("/v1/messages")
    _, of_messages, of_responses = re.split(r"event: message_start|event: response.created", streamed)
    assert streamed_text(of_messages, "text") == f"Write to {EMAIL}"
    assert (
        streamed_text(of_responses.partition("response.output_text.done")[0], "delta") == f"Write to {EMAIL}"
    )

    cut = await terminal.run('"stream": true')
    assert '"finish_reason":"content_filter"' in cut
    assert "[DONE]" in cut
    others = await terminal.run("backwards")
    assert '"stop_reason":"refusal"' in others
    assert "event: response.incomplete" in others
    for shown in (cut, others):
        assert SECRET[:8] not in shown
        assert "Keep" not in shown

    refused = await terminal.run("delete_all")
    assert "content_blocked" in refused
    assert "tool_not_allowed" in refused
    assert SECRET not in refused
    explained = await terminal.run("explain")
    assert "secret: block (1)" in explained
    assert EMAIL not in explained
    assert terminal.blocks == []
