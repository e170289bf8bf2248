"""Which kinds of values stand in a request, for rules: `safety.kinds`."""

from collections.abc import Awaitable, Iterator
from typing import ClassVar, Final, Self

from pilotage_api.content_rules import available
from pilotage_extproc.content.guard import Toolbox
from pilotage_extproc.content.scan import Scan, Scanner, TooMuchToCheckError
from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import FeatureKey, OnError, Step
from pilotage_extproc.stages.turns import in_turns

KINDS: Final = "safety.kinds"


class FindSafety(Step):
    """Looks by all built-in detectors; what cannot be looked at stays unknown."""

    name: ClassVar[str] = "safety"
    provides = frozenset((KINDS,))
    on_error: ClassVar[OnError] = OnError.SKIP

    def __init__(self, scanner: Scanner | None = None) -> None:
        """Without a scanner it finds out nothing; a plan's has one."""
        self._scanner = scanner

    def narrowed(self, wanted: frozenset[FeatureKey]) -> Self:  # noqa: ARG002 - there is but one
        """The stage with its detectors, loaded now; without, where this platform has none."""
        return type(self)(Toolbox().built_in() if available() else None)

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
        exchange.learned(KINDS, sorted({one.kind for one in scan.found}))
