"""What would be decided for a request, from a snapshot alone: no server, no network, no live figures."""

from typing import Any

import orjson

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.server.accounting import Accounting
from pilotage_extproc.server.admin_view import read_request
from pilotage_extproc.server.deciding import new_deciding
from pilotage_extproc.server.state import ProcessState, new_state
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.sources.remote_guards import RemoteGuards
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger

_PROCESS = "offline"


async def explain_offline(
    snapshot: RoutingSnapshot, settings: GatewaySettings, request: bytes
) -> dict[str, Any]:
    """Explain a described request (see `read_request`). Raises ValueError."""
    head, body = read_request(request)
    pipeline, _ = await offline_pipeline(snapshot, settings)
    try:
        record = await pipeline.consider(head, body)
    except RequestRefused as refused:
        return {"refused": {"status": refused.reason.http_status, **orjson.loads(refused.body())["error"]}}
    return explain(record, _PROCESS)


async def offline_pipeline(
    snapshot: RoutingSnapshot,
    settings: GatewaySettings,
    accounting: Accounting | None = None,
    guards: RemoteGuards | None = None,
) -> tuple[Pipeline, ProcessState]:
    """A pipeline that knows what the snapshot says and nothing else, and its state."""
    discovery = Discovery(lambda: None, resolve=_as_written)
    await discovery.follow(snapshot)
    await discovery.stop()
    table = EndpointTable()
    table.sync(discovery.wanted())
    table.admit(table.rows())
    forgetful = settings.model_copy(update={"decision_history_bytes": 0})
    state = new_state(forgetful, table, HealthLedger(table), accounting=accounting)
    deciding = new_deciding(
        settings, state, ProfileBook(), process_id=_PROCESS, clock=monotonic, guards=guards
    )
    deciding.current.install(await deciding.builder.build(snapshot, discovery.membership()))
    return deciding.pipeline, state


async def _as_written(name: str) -> list[str]:
    """A name stands for its address: nothing is looked up."""
    return [name]
