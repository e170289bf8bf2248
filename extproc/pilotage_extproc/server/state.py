"""What one process knows and counts, apart from any request."""

from dataclasses import dataclass

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.clock import Clock, monotonic
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.ledger import Ledger
from pilotage_extproc.scheduling.candidates import Knowledge
from pilotage_extproc.scheduling.chooser import Experience
from pilotage_extproc.scheduling.feedback import Learner
from pilotage_extproc.server.accounting import Accounting, new_accounting
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.api_keys import KeyBook
from pilotage_extproc.state.breakers import Breakers
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.conversations import Conversations
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.engine_room import EngineRoom
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import InflightCounts
from pilotage_extproc.state.latency import LatencyBook
from pilotage_extproc.state.lengths import LengthBook
from pilotage_extproc.state.objectives import Objectives
from pilotage_extproc.state.peer_load import PeerLoad
from pilotage_extproc.state.prefix_index import PrefixIndex
from pilotage_extproc.state.responses import ResponseOwners
from pilotage_extproc.state.retry_budget import RetryBudget


@dataclass(slots=True, frozen=True)
class ProcessState:
    """All state that decisions are based on."""

    table: EndpointTable
    health: HealthLedger
    knowledge: Knowledge
    learner: Learner
    owners: ResponseOwners
    objectives: Objectives
    experience: Experience
    conversations: Conversations
    ledger: Ledger
    decisions: DecisionLog[DecisionRecord]
    budget: RetryBudget
    accounting: Accounting
    keys: KeyBook
    engine_room: EngineRoom
    peer_load: PeerLoad

    def learn_from(self, outcome: Outcome, now: float) -> None:
        """A peer, or an Envoy, says where a stored response or a conversation is now."""
        if outcome.conversation is None:
            self.owners.learn_from(outcome)
        elif outcome.upstream_model is not None:
            self.conversations.learned(outcome.conversation, outcome.upstream_model, now)


def new_state(
    settings: GatewaySettings,
    table: EndpointTable,
    health: HealthLedger,
    breakers: Breakers | None = None,
    clock: Clock = monotonic,
    accounting: Accounting | None = None,
) -> ProcessState:
    """State that knows nothing yet; without `accounting` its books are its own, and empty."""
    prefixes = PrefixIndex(max_bytes=settings.prefix_index_bytes)
    peer_load = PeerLoad(table, clock)
    engine_room = EngineRoom(table, peer_load)
    knowledge = Knowledge(prefixes, AdapterSlots(), Sessions(), breakers or Breakers(), engine_room)
    return ProcessState(
        table=table,
        health=health,
        knowledge=knowledge,
        learner=Learner(table, knowledge, InflightCounts(table), health, TokenCalibration()),
        owners=ResponseOwners(),
        objectives=Objectives(),
        experience=Experience(LengthBook(), LatencyBook()),
        conversations=Conversations(),
        ledger=Ledger(ttl_seconds=settings.inflight_ttl_seconds),
        decisions=DecisionLog[DecisionRecord](max_bytes=settings.decision_history_bytes),
        budget=RetryBudget(),
        accounting=accounting or new_accounting(settings, clock),
        keys=KeyBook(),
        engine_room=engine_room,
        peer_load=peer_load,
    )
