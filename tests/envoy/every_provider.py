"""One whole gateway before a provider of each API, and a server of one's own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from certificates import Authority
from hosted_pools import LOOPBACK, hosted_pool
from native_providers import CALLS, OWN, native
from provider_stub import ProviderStub
from scripted_server import ModelServer, Received
from spoken_answers import TOOLS, Spoken
from whole_gateway import WholeGateway

DIALECTS = sorted(CALLS.keys() - {OWN})
_OWN_CALLS = {"chat": "completions", "messages": "messages", "responses": "responses"}


class EveryProvider(WholeGateway):
    """Each provider, and the own server, is a model named like its dialect; the own server is `own`."""

    def __init__(self, folder: Path, stubs: Mapping[str, ProviderStub], own: ModelServer) -> None:
        documents = [_pool(dialect, stub) for dialect, stub in stubs.items()]
        super().__init__(folder, {OWN: [own]}, {}, documents=documents, **LOOPBACK)
        self.stubs, self.own = stubs, own

    async def start(self) -> None:
        """Until all may be picked."""
        await super().start()
        await self.until_usable(*self.stubs)

    def answer(self, kind: str, said: Spoken = TOOLS) -> None:
        """What all of them answer from now on to clients of this API."""
        self.own.answer = native(OWN, [], said)
        for dialect, stub in self.stubs.items():
            stub.otherwise = native(dialect, translated_paths(kind, dialect), said)

    def received(self, dialect: str) -> list[Received]:
        """What it got so far, in order."""
        return self.own.received if dialect == OWN else self.stubs[dialect].received


def translated_paths(kind: str, dialect: str) -> list[str]:
    """The path that the provider gets a translation under; none where the API is the client's own."""
    calls = CALLS[dialect]
    return [] if any(call.endswith(_OWN_CALLS[kind]) for call in calls) else [calls[0]]


@asynccontextmanager
async def every_provider(folder: Path, own: ModelServer) -> AsyncIterator[EveryProvider]:
    """It runs, with its providers, until it is left."""
    stubs = {dialect: ProviderStub(Authority(), hosts=("localhost",)) for dialect in DIALECTS}
    for dialect, stub in stubs.items():
        (folder / dialect).mkdir()
        await stub.start(folder / dialect)
    made = EveryProvider(folder / "g", stubs, own)
    await made.start()
    yield made
    await made.stop()
    for stub in stubs.values():
        await stub.stop()


def _pool(dialect: str, stub: ProviderStub) -> dict[str, Any]:
    facts = {
        "upstreamName": f"up-{dialect}",
        "maxOutputTokens": 4096,
        "capabilities": ["tools", "reasoning"],
    }
    version = {"apiVersion": "2025-01-01"} if dialect == "azure" else {}
    return hosted_pool(dialect, stub, dialect, model=facts, external=version)
