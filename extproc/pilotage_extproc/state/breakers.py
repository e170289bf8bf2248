"""Circuit breakers of pools, and of models within a pool: closed, open for a time, then let in by a trickle.

Single endpoints have theirs in `state.health`. Failures in a row open a breaker, as Nygard describes it in
"Release It!" (2007); so does a server that says how long to stay away. When its time is over one request in
`TRIAL_SECONDS` is let in: the first that succeeds closes it, one that fails opens it again, for longer.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

TRIAL_SECONDS: Final = 1.0
"""Between two requests that try whether an open breaker can be closed."""
MOST_TIMES: Final = 10
"""It stays open at most so many times its first time."""
LONGEST_SECONDS: Final = 300.0
"""However long a server says to stay away: it is tried by then."""
_NONE: Final[frozenset["Circuit"]] = frozenset()


class Circuit(NamedTuple):
    """What a breaker keeps requests from."""

    pool: str
    """`namespace/name`."""
    model: str = ""
    """Upstream name; empty is all of the pool."""


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    """In a row."""
    openings: int = 0
    """Without a success between."""
    opened_at: float = 0.0
    until: float | None = None
    """None is closed; else no request gets through before then, and from then on a trickle."""
    next_trial: float = 0.0


@dataclass(slots=True, frozen=True)
class Opened:
    """A breaker that is not closed, as peers are told and people are shown."""

    circuit: Circuit
    seconds_left: float
    """0 where it is tried by a trickle."""


class Breakers:
    """The breakers that are open or about to be: those that are not here are closed."""

    def __init__(
        self, on_changed: Callable[[Circuit, float | None], None] = lambda _circuit, _left: None
    ) -> None:
        """`on_changed` is told of what this process finds out: seconds a breaker is open, None is closed."""
        self._on_changed = on_changed
        self._breakers: dict[Circuit, _Breaker] = {}
        self.troubled = False
        """Whether any of them is not as good as new: while none is, nothing has to be told or asked."""
        self.open_count = 0

    def failed(self, circuit: Circuit, now: float, *, most_failures: int, open_seconds: float) -> None:
        """A request failed there; so many in a row open it, for so long the first time."""
        breaker = self._breakers.get(circuit)
        if breaker is None:
            breaker = self._breakers[circuit] = _Breaker()
            self.troubled = True
        if breaker.until is not None and now < breaker.until:
            return  # one that was under way when it opened tells nothing new
        breaker.failures += 1
        if breaker.failures >= most_failures or breaker.until is not None:
            breaker.openings = min(MOST_TIMES, breaker.openings + 1)
            self._open(circuit, breaker, now + open_seconds * breaker.openings, now)

    def stay_away(self, circuit: Circuit, seconds: float, now: float) -> None:
        """A server there said how long it will take no requests."""
        breaker = self._breakers.setdefault(circuit, _Breaker())
        self.troubled = True
        until = now + min(max(seconds, 0.0), LONGEST_SECONDS)
        if breaker.until is None or breaker.until < until:
            self._open(circuit, breaker, until, now)

    def succeeded(self, circuit: Circuit, began_at: float) -> None:
        """A request that began then was answered there: closed, unless that was before the breaker opened."""
        breaker = self._breakers.get(circuit)
        if breaker is None or (breaker.until is not None and began_at < breaker.opened_at):
            return
        self._forget(circuit)
        if breaker.until is not None:
            self._on_changed(circuit, None)

    def tried(self, circuit: Circuit, now: float) -> None:
        """A request goes there: where the breaker is open it is the trickle's, and the next has to wait."""
        breaker = self._breakers.get(circuit)
        if breaker is not None:
            breaker.next_trial = now + TRIAL_SECONDS

    def told(self, circuit: Circuit, seconds: float | None, now: float) -> None:
        """Another process has found out that it is open for so long, or (None) closed."""
        if seconds is None:
            self._forget(circuit)
            return
        breaker = self._breakers.setdefault(circuit, _Breaker())
        self.troubled = True
        until = now + min(max(seconds, 0.0), LONGEST_SECONDS)
        if breaker.until is None:
            self.open_count += 1
        if breaker.until is None or breaker.until < until:
            breaker.until = until
            breaker.opened_at = now

    def blocked(self, now: float) -> Collection[Circuit]:
        """Those that no request may go to now."""
        if not self.open_count:
            return _NONE
        return [
            circuit
            for circuit, breaker in self._breakers.items()
            if breaker.until is not None and (now < breaker.until or now < breaker.next_trial)
        ]

    def open(self, now: float) -> list[Opened]:
        """All that are not closed."""
        return [
            Opened(circuit, max(0.0, breaker.until - now))
            for circuit, breaker in self._breakers.items()
            if breaker.until is not None
        ]

    def keep_only(self, pools: Collection[str]) -> None:
        """Forget all other pools."""
        for circuit in [one for one in self._breakers if one.pool not in pools]:
            self._forget(circuit)

    def _open(self, circuit: Circuit, breaker: _Breaker, until: float, now: float) -> None:
        if breaker.until is None:
            self.open_count += 1
        breaker.until = until
        breaker.opened_at = now
        breaker.failures = 0
        self._on_changed(circuit, until - now)

    def _forget(self, circuit: Circuit) -> None:
        breaker = self._breakers.pop(circuit, None)
        if breaker is not None and breaker.until is not None:
            self.open_count -= 1
        self.troubled = bool(self._breakers)
