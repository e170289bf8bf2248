"""How `pilotage up` ends: in order, at once, or by somebody else's hand; it leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest
from free_ports import free_ports
from up_process import COMMAND, Up


def runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def gone(pid: int, seconds: float = 10) -> bool:
    for _ in range(int(seconds / 0.05)):
        if not runs(pid):
            return True
        await asyncio.sleep(0.05)
    return False


async def nothing_left(up: Up, seconds: float = 5) -> bool:
    for _ in range(int(seconds / 0.05)):
        if not list(up.temporary.iterdir()):
            return True
        await asyncio.sleep(0.05)
    return False


async def begun(session: aiohttp.ClientSession, up: Up, tokens: int) -> aiohttp.ClientResponse:
    """A stream that has had its first token."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens}
    url = f"http://127.0.0.1:{up.gateway}/v1/chat/completions"
    answer = await session.post(url, json={**body, "stream": True})
    await answer.content.readuntil(b"\n\n")
    return answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stream_under_way_is_finished_and_new_connections_are_refused(up, session, number):
    stream = await begun(session, up, tokens=150)
    up.process.send_signal(number)
    await asyncio.sleep(0.5)
    with pytest.raises((aiohttp.ClientConnectorError, AssertionError)):
        assert await up.ask() != 200
    assert up.process.returncode is None
    assert (await stream.content.read()).endswith(b"data: [DONE]\n\n")
    assert await up.ended() == 0
    assert "waiting for 1 requests, at most 20 s" in up.output
    assert up.output.rstrip().endswith("stopped")
    assert await nothing_left(up)


async def test_a_second_ctrl_c_waits_for_nothing(up, session):
    stream = await begun(session, up, tokens=5000)
    envoy = up.envoy_pid()
    up.process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.3)
    up.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(up.ended(), 5) == 0
    with pytest.raises(aiohttp.ClientError):
        await stream.content.read()
    assert await gone(envoy)
    assert await nothing_left(up)


async def test_draining_ends_after_its_bound(folder, session):
    (folder / "pilotage.yaml").write_text(
        "apiVersion: pilotage.dev/v1alpha1\nkind: GatewaySettings\nspec: {drainSeconds: 1}\n"
    )
    up = Up(folder)
    await up.start()
    await begun(session, up, tokens=5000)
    up.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(up.ended(), 10) == 0


async def test_envoy_and_its_folder_go_when_the_command_is_killed(up):
    envoy = up.envoy_pid()
    assert list(up.temporary.iterdir())
    up.process.kill()
    await up.ended()
    assert await gone(envoy)
    assert await nothing_left(up)


@pytest.mark.parametrize("lines", [1, 3])
async def test_it_ends_when_nobody_reads_its_output(folder, lines):
    up = Up(folder)
    up.temporary.mkdir()
    listen = zip(("--listen", "--extproc-listen", "--admin"), free_ports(3), strict=True)
    addresses = [part for flag, port in listen for part in (flag, f"127.0.0.1:{port}")]
    process = subprocess.Popen(
        [*COMMAND, "up", "-f", str(folder), "--sim", *addresses],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(up.temporary)},
    )
    assert process.stdout is not None
    for _ in range(lines):
        await asyncio.to_thread(process.stdout.readline)
    process.stdout.close()
    # after its last line at the start it has something to say when the folder changes
    for number in range(160):
        (folder / "bad.yaml").write_text(f"kind: [ # {number}")
        if process.poll() is not None:
            break
        await asyncio.sleep(0.5)
    assert process.returncode == 1
    assert await nothing_left(up)
