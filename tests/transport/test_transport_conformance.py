"""The built-in transport by other people's measure: h2spec, and gRPC's client in Go."""

import asyncio
import os

import pytest
from conftest import program

from pilotage_api.settings import Transport


async def run(name: str, *arguments: str) -> str:
    """Runs a program of hack/transport that has to succeed."""
    path = program(name)
    if not path.exists():
        why = f"{name} is not built: `hack/transport/setup build` (needs Go)"
        if os.environ.get("PILOTAGE_REQUIRE_TRANSPORT"):
            pytest.fail(why)
        pytest.skip(why)
    child = await asyncio.create_subprocess_exec(
        path, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await child.communicate()
    text = output.decode()
    assert child.returncode == 0, text
    return text


async def test_h2spec_finds_nothing(start_port):
    port = await start_port()
    found = await run("h2spec", "--strict", "-h", "127.0.0.1", "-p", str(port), "-o", "15")
    assert " 0 failed" in found, found
    assert " 0 skipped" in found, found


async def test_a_program_in_go_is_served(start_port, transport):
    port = await start_port(transport=transport)
    more = ["refuses-compressed"] if transport is Transport.BUILTIN else []
    assert "after all that a call" in await run("goclient", f"127.0.0.1:{port}", *more)
