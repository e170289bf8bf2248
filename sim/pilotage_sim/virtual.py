"""The same engines in virtual time: fleets too large for one machine, and exact repetition.

A discrete-event simulation: the next event is an arrival or the end of some engine's step, whichever
comes first. Nothing sleeps, so an hour of a fleet takes as long as its steps take to compute.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pilotage_sim.config import SimConfig
from pilotage_sim.engine.core import Engine, StepResult
from pilotage_sim.engine.core import Sequence as Running


@dataclass(slots=True, frozen=True)
class Arrival:
    """A request and when it comes."""

    at_seconds: float
    prompt: bytes
    max_tokens: int
    adapter: str | None = None


@dataclass(slots=True)
class Served:
    """What became of an arrival."""

    arrival: Arrival
    server: int
    prompt_tokens: int
    cached_tokens: int = 0
    first_token_at: float = 0.0
    finished_at: float = 0.0
    tokens: int = 0

    @property
    def ttft_seconds(self) -> float:
        """From arrival to the first token."""
        return self.first_token_at - self.arrival.at_seconds

    @property
    def tpot_seconds(self) -> float:
        """Time per token after the first; 0 for an answer of one token."""
        return (self.finished_at - self.first_token_at) / (self.tokens - 1) if self.tokens > 1 else 0.0


Place = Callable[[Arrival, Sequence[Engine], float], int]
"""Chooses a server for an arrival, given all engines and the time."""


class VirtualFleet:
    """Engines that share a virtual clock."""

    def __init__(self, count: int, config: SimConfig) -> None:
        self._config = config
        self.engines = [Engine(config.engine_config()) for _ in range(count)]
        self._steps: list[tuple[float, int]] = []
        """A heap of when each busy engine's step ends."""
        self._results: dict[int, StepResult] = {}
        self._open: dict[str, tuple[Served, Running]] = {}

    def run(self, arrivals: Iterable[Arrival], place: Place) -> list[Served]:
        """Serve all arrivals (in order of time) to their end; results are in order of arrival."""
        served: list[Served] = []
        for number, arrival in enumerate(arrivals):
            self._advance(arrival.at_seconds)
            server = place(arrival, self.engines, arrival.at_seconds)
            running = self.engines[server].add(
                str(number),
                arrival.prompt,
                arrival.max_tokens,
                model=self._config.models[0],
                adapter=arrival.adapter,
            )
            one = Served(arrival, server, running.prompt_tokens)
            served.append(one)
            self._open[str(number)] = (one, running)
            if server not in self._results:
                self._step(server, arrival.at_seconds)
        self._advance(float("inf"))
        return served

    def _step(self, server: int, now: float) -> None:
        result = self.engines[server].step()
        self._results[server] = result
        heapq.heappush(self._steps, (now + result.seconds, server))

    def _advance(self, until: float) -> None:
        """Finish every step that ends by then."""
        while self._steps and self._steps[0][0] <= until:
            now, server = heapq.heappop(self._steps)
            for emitted in self._results.pop(server).emitted:
                one, running = self._open[emitted.id]
                if one.tokens == 0:
                    one.first_token_at = now
                    one.cached_tokens = running.cached
                one.tokens += emitted.tokens
                if emitted.finished:
                    one.finished_at = now
                    del self._open[emitted.id]
            if not self.engines[server].idle:
                self._step(server, now)
