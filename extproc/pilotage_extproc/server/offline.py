"""What would be decided for a request, from a snapshot alone: no server, no network, no live figures."""

from typing import Any

import orjson

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.pipeline.decide import Pipeline
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.rules.routing_index import build_index
from pilotage_extproc.scheduling.candidates import Knowledge
from pilotage_extproc.scheduling.feedback import Learner, Placed
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.server.admin_view import read_request
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import InflightLedger
from pilotage_extproc.state.prefix_index import PrefixIndex
from pilotage_extproc.state.responses import ResponseOwners

_PROCESS = "offline"


async def explain_offline(
    snapshot: RoutingSnapshot, settings: GatewaySettings, request: bytes
) -> dict[str, Any]:
    """Explain a described request (see `read_request`). Raises ValueError."""
    head, body = read_request(request)
    pipeline = await offline_pipeline(snapshot, settings)
    try:
        record = pipeline.consider(head, body)
    except RequestRefused as refused:
        return {"refused": {"status": refused.reason.http_status, **orjson.loads(refused.body())["error"]}}
    return explain(record, _PROCESS)


async def offline_pipeline(snapshot: RoutingSnapshot, settings: GatewaySettings) -> Pipeline:
    """A pipeline that knows what the snapshot says and nothing else."""
    discovery = Discovery(lambda: None, resolve=_as_written)
    await discovery.follow(snapshot)
    await discovery.stop()
    table = EndpointTable()
    table.sync(discovery.wanted())
    table.admit(table.rows())
    prefixes = PrefixIndex(max_bytes=settings.prefix_index_bytes)
    knowledge = Knowledge(prefixes, AdapterSlots(), Sessions())
    pipeline = Pipeline(
        process_id=_PROCESS,
        settings=settings,
        scheduler=Scheduler(table, knowledge),
        learner=Learner(
            table,
            knowledge,
            InflightLedger[Placed](table, ttl_seconds=settings.inflight_ttl_seconds),
            HealthLedger(table),
            TokenCalibration(),
        ),
        owners=ResponseOwners(),
        decisions=DecisionLog[DecisionRecord](max_bytes=0),
        clock=monotonic,
    )
    pipeline.install(await build_index(snapshot, table, discovery.membership(), ProfileBook()))
    return pipeline


async def _as_written(name: str) -> list[str]:
    """A name stands for its address: nothing is looked up."""
    return [name]
