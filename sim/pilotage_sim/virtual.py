"""The same engines in virtual time: fleets too large for one machine, and exact repetition.

A discrete-event simulation: the next event is an arrival or the end of some engine's step, whichever
comes first. Nothing sleeps, so an hour of a fleet takes as long as its steps take to compute; runs of
steps that only decode are computed at once.
"""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pilotage_sim.config import SimConfig
from pilotage_sim.engine.core import Engine, StepResult
from pilotage_sim.engine.core import Sequence as Running
from pilotage_sim.engine.decode import decode, step_ends, steps_ahead


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

    at_seconds: float
    server: int
    prompt_tokens: int
    cached_tokens: int = 0
    first_token_at: float = 0.0
    finished_at: float = 0.0
    tokens: int = 0

    @property
    def ttft_seconds(self) -> float:
        """From arrival to the first token."""
        return self.first_token_at - self.at_seconds

    @property
    def tpot_seconds(self) -> float:
        """Time per token after the first; 0 for an answer of one token."""
        return (self.finished_at - self.first_token_at) / (self.tokens - 1) if self.tokens > 1 else 0.0


Place = Callable[[Arrival, Sequence[Engine], float], int]
"""Chooses a server for an arrival, given all engines and the time."""


@dataclass(slots=True)
class _Plan:
    """What an engine computes now."""

    ends: list[float]
    """When its steps end; more than one where all but decode."""
    result: StepResult | None
    """Of a step computed already; None where the steps only decode and are computed when needed."""
    decoded: int = 0
    """Of the steps, how many the engine's state includes."""
    number: int = 0
    """Tells this plan from one it replaced."""


@dataclass(slots=True)
class _Server:
    engine: Engine
    slow: float
    plan: _Plan | None = None
    open: dict[str, tuple[Served, Running]] = field(default_factory=dict)


class VirtualFleet:
    """Engines that share a virtual clock."""

    def __init__(self, count: int, config: SimConfig, slow: Mapping[int, float] | None = None) -> None:
        """`slow` says by server how many times longer its steps take."""
        self._config = config
        self._servers = [
            _Server(Engine(config.engine_config()), (slow or {}).get(server, 1.0)) for server in range(count)
        ]
        self._steps: list[tuple[float, int, int]] = []
        """A heap of when each busy engine's plan ends: time, server, the plan's number."""
        self._submitted = 0
        self._planned = 0

    @property
    def engines(self) -> list[Engine]:
        """All engines; those that decode may be behind the clock (see `engine_at`)."""
        return [server.engine for server in self._servers]

    def __len__(self) -> int:
        return len(self._servers)

    def engine_at(self, server: int, now: float) -> Engine:
        """A server's engine as it is now; `advance` has been called for this time."""
        one = self._servers[server]
        self._catch_up(one, now)
        return one.engine

    def run(self, arrivals: Iterable[Arrival], place: Place) -> list[Served]:
        """Serve all arrivals (in order of time) to their end; results are in order of arrival."""
        served: list[Served] = []
        for arrival in arrivals:
            now = arrival.at_seconds
            self.advance(now)
            for one in self._servers:
                self._catch_up(one, now)
            server = place(arrival, self.engines, now)
            served.append(self.submit(server, arrival))
        self.advance(float("inf"))
        return served

    def submit(self, server: int, arrival: Arrival) -> Served:
        """Give a server a request; `advance` has been called for its time."""
        one, now = self._servers[server], arrival.at_seconds
        self._catch_up(one, now)
        key = str(self._submitted)
        self._submitted += 1
        running = one.engine.add(
            key, arrival.prompt, arrival.max_tokens, model=self._config.models[0], adapter=arrival.adapter
        )
        served = Served(now, server, running.prompt_tokens)
        one.open[key] = (served, running)
        plan = one.plan
        if plan is None:
            self._begin(server, now)
        elif plan.result is None and plan.decoded < len(plan.ends):
            # the step under way ends as planned, the next one may take the request in
            self._follow(server, _Plan(plan.ends[: plan.decoded], None, plan.decoded))
        return served

    def next_end(self) -> float:
        """When the next step, or run of steps, ends; no request does before. Infinity when all are idle."""
        return self._steps[0][0] if self._steps else float("inf")

    def advance(self, until: float, on_finished: Callable[[Served], None] | None = None) -> None:
        """Finish every step that ends by then, telling of requests that do, in order of time."""
        while self._steps and self._steps[0][0] <= until:
            now, server, number = heapq.heappop(self._steps)
            one = self._servers[server]
            plan = one.plan
            if plan is None or plan.number != number:
                continue
            if plan.result is None:
                decode(one.engine, len(plan.ends) - plan.decoded)
            else:
                self._emit(one, plan.result, now, on_finished)
            one.plan = None
            if not one.engine.idle:
                self._begin(server, now)

    def _begin(self, server: int, now: float) -> None:
        """Start the next step, or a run of them."""
        one = self._servers[server]
        steps = steps_ahead(one.engine)
        if steps > 1:
            self._follow(server, _Plan(step_ends(one.engine, steps, now, one.slow), None))
            return
        result = one.engine.step()
        self._follow(server, _Plan([now + result.seconds * one.slow], result))

    def _follow(self, server: int, plan: _Plan) -> None:
        self._planned += 1
        plan.number = self._planned
        self._servers[server].plan = plan
        heapq.heappush(self._steps, (plan.ends[-1], server, plan.number))

    @staticmethod
    def _catch_up(one: _Server, now: float) -> None:
        """Compute the decode steps that have begun by now."""
        plan = one.plan
        if plan is None or plan.result is not None:
            return
        begun = min(len(plan.ends), bisect_right(plan.ends, now) + 1)
        if begun > plan.decoded:
            decode(one.engine, begun - plan.decoded)
            plan.decoded = begun

    @staticmethod
    def _emit(
        one: _Server, result: StepResult, now: float, on_finished: Callable[[Served], None] | None
    ) -> None:
        for emitted in result.emitted:
            served, running = one.open[emitted.id]
            if served.tokens == 0:
                served.first_token_at = now
                served.cached_tokens = running.cached
            served.tokens = running.generated
            if emitted.finished:
                served.finished_at = now
                del one.open[emitted.id]
                if on_finished is not None:
                    on_finished(served)
