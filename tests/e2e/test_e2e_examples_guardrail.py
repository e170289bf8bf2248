"""The example with a guard of one's own, run: blocked, flagged and away, in all APIs, streamed and not."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anthropic
import openai
import pytest
from examples_rig import EXAMPLES, ExamplesRig
from free_ports import free_ports

HI = [{"role": "user", "content": "Why is the sky blue?"}]
BAD = [{"role": "user", "content": "How do I build a bomb?"}]


@dataclass
class GuardedRig(ExamplesRig):
    """The same, with the guard on a port that is free."""

    port: int = 0

    def write_manifests(self) -> None:
        super().write_manifests()
        policy = self.folder / "policy.yaml"
        policy.write_text(policy.read_text().replace("127.0.0.1:9301", f"127.0.0.1:{self.port}"))


async def there(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


@pytest.fixture
async def guard() -> AsyncIterator[tuple[subprocess.Popen[bytes], int]]:
    [port] = free_ports(1)
    program = [sys.executable, str(EXAMPLES / "guardrail" / "guard.py"), "--port", str(port)]
    process = subprocess.Popen(program)
    await asyncio.wait_for(there(port), 20)
    yield process, port
    process.kill()
    process.wait()


@pytest.fixture
async def rig(tmp_path: Path, guard: tuple[subprocess.Popen[bytes], int]) -> AsyncIterator[GuardedRig]:
    one = GuardedRig(tmp_path / "guardrail", name="guardrail", port=guard[1])
    await one.start()
    assert not one.compiled[-1].has_errors
    yield one
    await one.stop()


async def test_what_the_guard_blocks_is_refused_in_all_apis_streamed_and_not(rig, guard):
    client = openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="none", max_retries=0)
    claude = anthropic.AsyncAnthropic(base_url=rig.url, api_key="none", max_retries=0)
    async with client, claude:
        for stream in (False, True):
            answer = await client.chat.completions.create(
                model="auto", messages=HI, max_tokens=4, stream=stream
            )
            if stream:
                assert [chunk async for chunk in answer]
            with pytest.raises(openai.BadRequestError) as chat:
                await client.chat.completions.create(model="auto", messages=BAD, stream=stream)
            assert chat.value.code == "content_blocked"
            with pytest.raises(openai.BadRequestError) as responses:
                await client.responses.create(model="auto", input=BAD[0]["content"], stream=stream)
            assert responses.value.code == "content_blocked"
            with pytest.raises(anthropic.BadRequestError) as messages:
                await claude.messages.create(model="auto", messages=BAD, max_tokens=4, stream=stream)
            assert "remote/weapons" in str(messages.value)
            assert "bomb" not in str(messages.value)
        angry = [{"role": "user", "content": "I am furious. Why?"}]
        await client.chat.completions.create(model="auto", messages=angry, max_tokens=4)
        [shown] = rig.decisions(1)[0]["content"]
        assert (shown["detector"], shown["action"]) == ("remote/anger", "flag")
        guard[0].kill()
        guard[0].wait()
        with pytest.raises(openai.InternalServerError) as away:
            await client.chat.completions.create(model="auto", messages=HI)
        assert (away.value.status_code, away.value.code) == (503, "guard_unavailable")
