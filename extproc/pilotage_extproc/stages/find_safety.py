"""Which kinds of values stand in a request, for rules: `safety.kinds`."""

from collections.abc import Awaitable, Iterator
from typing import ClassVar, Final, Self

from pilotage_api.content_rules import available
from pilotage_extproc.content.guard import Toolbox
from pilotage_extproc.content.scan import Scan, Scanner, TooMuchToCheckError
from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.features.attack_signal import AttackSignal
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import FeatureKey, OnError, Step
from pilotage_extproc.stages.find_attacks import attack_steps
from pilotage_extproc.stages.turns import in_turns

KINDS: Final = "safety.kinds"


class FindSafety(Step):
    """Looks by all built-in detectors; what cannot be looked at stays unknown."""

    name: ClassVar[str] = "safety"
    provides = frozenset((KINDS,))
    on_error: ClassVar[OnError] = OnError.SKIP

    def __init__(self, scanner: Scanner | None = None, signal: AttackSignal | None = None) -> None:
        """Without both it finds out nothing; a plan's has them."""
        self._scanner = scanner
        self._signal = signal

    def narrowed(self, wanted: frozenset[FeatureKey]) -> Self:  # noqa: ARG002 - there is but one
        """The stage with its detectors, loaded now; without, where this platform has none."""
        return type(self)(Toolbox().built_in(), AttackSignal.shipped()) if available() else type(self)()

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Find them."""
        if self._scanner is None or DIALECTS[exchange.call.kind].body is not BodyForm.JSON:
            return None
        return in_turns(self._look(exchange, self._scanner, Scan()), lambda: None)

    def _look(self, exchange: Exchange, scanner: Scanner, scan: Scan) -> Iterator[None]:
        try:
            yield from scanner.steps(exchange.body, scan)
        except TooMuchToCheckError as error:
            exchange.skip(self.name, type(error).__name__)
            return
        kinds = list({one.kind for one in scan.found})
        if self._signal is not None:
            yield from attack_steps(exchange, self._signal, kinds)
        exchange.learned(KINDS, sorted(kinds))
