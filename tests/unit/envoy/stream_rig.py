"""A processor over a real pipeline, and whether anything is left when its streams have ended."""

import asyncio
from collections import Counter
from typing import Final

from fake_stream import FakeStream

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.picks import Picks
from pilotage_extproc.envoy.ext_proc.processor import Processor
from pilotage_extproc.envoy.ext_proc.request_stream import Asker
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.attempt_table import AttemptTables
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.server.state import ProcessState
from pilotage_extproc.telemetry.metrics import Telemetry

POOL: Final = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}]
  models: [{name: small, aliases: [alias]}]
"""
ADDRESSES: Final = ("10.0.0.1:80", "10.0.0.2:80")
BUNDLED: Final = Asker("envoy-1", "2")
FOREIGN: Final = Asker()
MAX_BODY_BYTES: Final = 4 << 20
MAX_TOTAL_BYTES: Final = 8 << 20


class Journal(Step):
    """A stage that begins with each request and writes down how it ended."""

    name = "journal"
    settles = True

    def __init__(self) -> None:
        self.finished: Counter[int] = Counter()
        """By request, in the order they came."""
        self.outcomes: list[Outcome] = []
        self._numbers: dict[int, int] = {}

    def apply(self, exchange: Exchange) -> None:
        """A request begins."""
        self._numbers[id(exchange)] = number = len(self._numbers)
        self.finished[number] = 0

    def finish(self, exchange: Exchange, outcome: Outcome) -> None:
        """It has ended."""
        self.finished[self._numbers[id(exchange)]] += 1
        self.outcomes.append(outcome)


class Watched:
    """The pipeline, with the journal as the first stage of every request."""

    def __init__(self, pipeline: Pipeline, journal: Journal) -> None:
        self._pipeline = pipeline
        self._journal = journal
        self._kept: list[Exchange] = []
        self.decide = pipeline.decide
        self.abandon = pipeline.abandon
        self.decision_headers = pipeline.decision_headers

    async def begin(self, exchange: Exchange) -> DirectAnswer | None:
        """Recognise a request."""
        self._kept.append(exchange)  # so that no other takes its identity
        exchange.begin(self._journal)
        self._journal.apply(exchange)
        return await self._pipeline.begin(exchange)


class StreamRig:
    """One process's processor."""

    def __init__(self, pipeline: Pipeline, state: ProcessState, tables: AttemptTables) -> None:
        self.pipeline = pipeline
        self.state = state
        self.journal = Journal()
        self.bodies = BodyBudget(max_bytes=MAX_BODY_BYTES, max_total_bytes=MAX_TOTAL_BYTES, wait_seconds=60)
        self.settled: list[Outcome] = []
        self.began: list[tuple[str, str, str]] = []
        self.telemetry = Telemetry()
        self.processor = Processor(
            Watched(pipeline, self.journal),
            Picks("p", tables.number),
            bodies=self.bodies,
            telemetry=self.telemetry,
            settle=self._settle,
            response_began=lambda *told: self.began.append(told),
        )

    def _settle(self, outcome: Outcome) -> None:
        self.settled.append(outcome)
        self.pipeline.settle(outcome)

    async def serve(self, stream: FakeStream, asker: Asker = BUNDLED) -> None:
        """Serve a stream to its end."""
        await self.processor.process(stream, asker)

    async def leave(self, stream: FakeStream, asker: Asker, *, in_picker: bool = False) -> None:
        """Serve a stream until it waits for its gateway, or within the picker; its client leaves then."""
        serving = asyncio.create_task(self.serve(stream, asker))
        if not in_picker:
            await stream.stalled.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not serving.done()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert serving.cancelled()

    def left_over(self) -> dict[str, float]:
        """What is still held, by name; empty where nothing is."""
        held = {
            "open requests": len(self.state.ledger),
            "body bytes": self.bodies.held_bytes,
            "expected bytes": self.bodies.expected_bytes,
            "open streams": self.processor.open_streams,
            "in flight": int(self.state.table.inflight.sum()),
            "not finished once": sum(1 for times in self.journal.finished.values() if times != 1),
        }
        return {name: count for name, count in held.items() if count}


async def stream_rig(manifests: str = POOL, policies: str = "") -> StreamRig:
    """A rig whose process knows one pool of two servers, or these manifests, and these policies."""
    settings = GatewaySettings()
    texts = [("all.yaml", manifests), *([("policies.yaml", policies)] if policies else ())]
    compiled = compile_resources(load_texts(texts), settings)
    assert not compiled.has_errors, compiled.findings
    pipeline, state = await offline_pipeline(compiled.snapshot, settings)
    tables = AttemptTables()
    tables.of(compiled.snapshot)
    return StreamRig(pipeline, state, tables)
