"""The pipeline of one process, and what builds the index it follows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.pipeline.plans import PlanBook, StageParts
from pilotage_extproc.rules.build import IndexBuilder
from pilotage_extproc.rules.local_time import LocalTime
from pilotage_extproc.rules.readings import ReadingSources
from pilotage_extproc.rules.room import PoolRoom
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.server.accounting import AccountingFault
from pilotage_extproc.server.placeholder_key import placeholder_key
from pilotage_extproc.server.prompt_features import feature_stages, remote_classifier
from pilotage_extproc.server.state import ProcessState
from pilotage_extproc.sources.remote_classifier import RemoteClassifier
from pilotage_extproc.sources.remote_guards import RemoteGuards
from pilotage_extproc.stages.find_safety import FindSafety
from pilotage_extproc.state.waiting_line import WaitingLine
from pilotage_extproc.telemetry.queueing import QueueTelemetry


@dataclass(slots=True, frozen=True)
class Deciding:
    """What decides requests."""

    pipeline: Pipeline
    current: CurrentIndex
    profiles: ProfileBook
    builder: IndexBuilder
    sources: ReadingSources
    remote: RemoteClassifier | None
    room: PoolRoom
    line: WaitingLine
    """Requests that wait for it."""
    queue_telemetry: QueueTelemetry


def new_deciding(
    settings: GatewaySettings,
    state: ProcessState,
    profiles: ProfileBook,
    *,
    process_id: str,
    clock: Clock,
    older_about: Callable[[], bool] = lambda: False,
    guards: RemoteGuards | None = None,
) -> Deciding:
    """A pipeline over some state; it follows an empty index until one is installed.

    `older_about` says whether processes of the version before may serve Envoy. Without `guards` no guardrail
    over HTTP is asked.
    """
    current = CurrentIndex()
    remote = remote_classifier(settings.prompt_features, clock)
    sources = ReadingSources(state.table, LocalTime(settings.time_zone), clock)
    room = PoolRoom(
        current, state.table, state.engine_room, clock, peers=state.peer_load, process_id=process_id
    )
    queue_telemetry = QueueTelemetry()
    line = WaitingLine(room.free, clock, queue_telemetry.wait_ended)
    plans = PlanBook(
        StageParts(
            process_id=process_id,
            settings=settings,
            current=current,
            scheduler=Scheduler(state.table, state.knowledge),
            learner=state.learner,
            owners=state.owners,
            objectives=state.objectives,
            experience=state.experience,
            conversations=state.conversations,
            sources=sources,
            decisions=state.decisions,
            clock=clock,
            budget=state.budget,
            features=(*feature_stages(settings.prompt_features, current, remote), FindSafety()),
            placeholder_key=placeholder_key(settings.governance.content),
            books=state.accounting.books,
            prices=state.accounting.prices,
            alerts=state.accounting.alerts,
            older_about=older_about,
            guards=guards,
            keys=state.keys,
            salt_key=_salt_key(settings.governance.kv_salt_file),
            room=room,
            line=line,
        )
    )
    return Deciding(
        Pipeline(plans, state.ledger, settings),
        current,
        profiles,
        IndexBuilder(state.table, profiles, plans),
        sources,
        remote,
        room,
        line,
        queue_telemetry,
    )


def _salt_key(file: str | None) -> bytes:
    if file is None:
        return b""
    try:
        return Path(file).read_bytes().strip()
    except OSError as error:
        raise AccountingFault(f"governance.kvSaltFile: {file}: {error.strerror}") from None
