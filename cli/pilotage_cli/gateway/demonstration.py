"""The main job once, by itself: real Envoy, real picker, simulated model servers."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from rich.console import Console

from pilotage_api.settings import GatewaySettings, ListenSettings
from pilotage_cli.explanation import print_explanation
from pilotage_cli.failure import CommandError
from pilotage_cli.folder import load_folder
from pilotage_cli.folder_files import FolderError
from pilotage_cli.gateway.envoy import EnvoyError
from pilotage_cli.gateway.standalone import Gateway
from pilotage_cli.shipped import copy_with_free_ports
from pilotage_extproc.server.addresses import AddressError

_OUTCOME_SECONDS = 5.0
_QUESTION = {"role": "user", "content": "Why is the sky blue?"}


async def show_gateway(console: Console, example: Path) -> None:
    """Answer, stream and explain a request. Raises CommandError."""
    try:
        await _show_gateway(console, example)
    except (AddressError, FolderError, EnvoyError) as error:
        raise CommandError(str(error), exit_code=1) from None


async def _show_gateway(console: Console, example: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pilotage-demo-") as folder:
        copy_with_free_ports(example, Path(folder))
        settings = (load_folder(Path(folder)).settings or GatewaySettings()).model_copy(
            update={
                "listen": ListenSettings(gateway="127.0.0.1:0", extproc="127.0.0.1:0", admin="127.0.0.1:0")
            }
        )
        gateway = Gateway(
            Path(folder), settings, simulate=True, on_compiled=lambda _: None, on_trouble=console.print
        )
        await gateway.start()
        try:
            count = len(gateway.server.runtime.state.table)
            console.print(
                f"1. Envoy on {gateway.address}, the picker, {count} simulated servers", highlight=False
            )
            await _show(console, gateway)
        finally:
            await gateway.stop()
    console.print("\nKeep a gateway running:  pilotage up --sim", highlight=False)


async def _show(console: Console, gateway: Gateway) -> None:
    base = f"http://{gateway.address}/v1"
    async with aiohttp.ClientSession() as session:
        console.print("\n2. A chat for the model 'auto', unstreamed", highlight=False)
        body = {"model": "auto", "messages": [_QUESTION], "max_tokens": 12}
        async with session.post(f"{base}/chat/completions", json=body) as answer:
            told = await answer.json()
            if answer.status != 200:
                raise CommandError(f"the gateway answered {answer.status}: {told}", exit_code=1)
            header = answer.headers.get("x-pilotage-decision", "")
        console.print(f"   {told['choices'][0]['message']['content']!r}", markup=False)
        console.print(f"   x-pilotage-decision: {header}", highlight=False, markup=False)
    client = "the openai package" if await _stream_with_openai(console, base) else "plain HTTP"
    console.print(f"   (streamed with {client})", highlight=False)
    console.print("\n4. Why it went where it went: `pilotage explain`", highlight=False)
    print_explanation(console, await _settled_explanation(gateway))


async def _stream_with_openai(console: Console, base: str) -> bool:
    console.print("\n3. The same, streamed", highlight=False)
    try:
        import openai  # noqa: PLC0415 - a development dependency
    except ImportError:
        await _stream_plainly(console, base)
        return False
    async with openai.AsyncOpenAI(base_url=base, api_key="none") as client:
        stream = await client.chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": _QUESTION["content"]}],
            max_tokens=12,
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    console.print(f"   {'|'.join(piece for piece in pieces if piece)}", markup=False, highlight=False)
    return True


async def _stream_plainly(console: Console, base: str) -> None:
    body = {"model": "auto", "messages": [_QUESTION], "max_tokens": 12, "stream": True}
    pieces = []
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/chat/completions", json=body) as answer,
    ):
        async for line in answer.content:
            if line.startswith(b"data: {"):
                choices = orjson.loads(line[6:])["choices"]
                pieces += [choice["delta"].get("content") or "" for choice in choices]
    console.print(f"   {'|'.join(piece for piece in pieces if piece)}", markup=False, highlight=False)


async def _settled_explanation(gateway: Gateway) -> dict[str, Any]:
    """The last decision, once Envoy has reported its outcome."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _OUTCOME_SECONDS
    while True:
        decisions = orjson.loads(gateway.server.view.recent_decisions(1))["decisions"]
        if decisions and decisions[0]["outcome"] is not None:
            last: dict[str, Any] = decisions[0]
            return last
        if loop.time() > until:
            raise CommandError("Envoy did not report the request's outcome", exit_code=1)
        await asyncio.sleep(0.02)
