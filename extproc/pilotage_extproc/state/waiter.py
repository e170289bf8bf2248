"""One request that waits for room, and the standing of who asks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_extproc.domain.refusals import RequestRefused


class Standing(NamedTuple):
    """How a tenant stands among those that wait."""

    priority: int = 0
    """Of its requests, added to that of the policy."""
    weight: float = 1.0
    """Of its share of service, above 0."""


ORDINARY: Final = Standing()
_MOST_ROUNDS: Final = 32


@dataclass(slots=True, eq=False)
class Waiter:
    """A request in the line. What it is told comes by `tell`, once for each turn and at most one refusal."""

    policy: str
    bounds: QueueSnapshot
    pools: frozenset[str]
    """Keys of the pools whose servers it waits for."""
    tenant: str
    weight: float
    priority: int
    body_bytes: int
    cost: float
    """Service that it is expected to take."""
    since: float
    """Monotonic seconds."""
    deadline: float | None
    """When its answer has to be over, monotonic seconds."""
    tell: Callable[[RequestRefused | None], None]
    """None: it is its turn."""
    has_turn: bool = False
    not_before: int = 0
    """The round in which it may have a turn again."""
    returns: int = 0
    """Turns that were no use."""

    def give(self) -> None:
        """It is its turn."""
        self.has_turn = True
        self.tell(None)

    def end(self) -> None:
        """It waits no longer."""
        self.has_turn = False

    def take_back(self, round_number: int) -> None:
        """Its turn was no use: it has the next ones less and less often."""
        self.has_turn = False
        self.not_before = round_number + min(2**self.returns, _MOST_ROUNDS)
        self.returns = min(self.returns + 1, _MOST_ROUNDS)
