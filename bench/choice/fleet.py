"""One run in virtual time: questions come ever faster to a weak and a strong pool, one router places them."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from bench.choice.answers import Priors, Question
from bench.choice.routers import MODELS, Fleet, Placing, Router, Sight, pool_key, usd_of
from pilotage_api.snapshot import Engine, ProfileSnapshot
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.prompt_blocks import prompt_blocks
from pilotage_extproc.scheduling.candidates import Knowledge, candidate_set, group_of
from pilotage_extproc.scheduling.chooser import Chooser, Experience
from pilotage_extproc.scheduling.feedback import Learner, Placed
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import InflightCounts
from pilotage_extproc.state.latency import LatencyBook
from pilotage_extproc.state.lengths import LengthBook
from pilotage_extproc.state.prefix_index import PrefixIndex
from pilotage_sim.config import SimConfig
from pilotage_sim.virtual import Arrival, Served, VirtualFleet

SERVERS = (2, 2)
PLACES = 16
"""Requests that one server answers at once."""
PRESETS = ("llama-3.1-8b-h100", "llama-3.3-70b-4xh100")
SCRAPE_SECONDS = 0.5
SETTLE_SECONDS = 0.05
DEADLINE_SECONDS = 15.0
"""An answer that takes longer is worth nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """Questions a second, from the first to the last: at the end more than both pools can answer."""

    first: float = 2.0
    last: float = 36.0
    seconds: float = 120.0

    def arrivals(self, random: Random) -> Iterator[float]:
        """Times of arrival: a Poisson process whose rate rises in a line."""
        now = 0.0
        while True:
            rate = self.first + (self.last - self.first) * now / self.seconds
            now += random.expovariate(rate)
            if now >= self.seconds:
                return
            yield now


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one question."""

    model: int
    correct: bool
    seconds: float
    usd: float

    @property
    def worth(self) -> bool:
        """Right, and in time."""
        return self.correct and self.seconds <= DEADLINE_SECONDS


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a predictor said of one first token, and what came."""

    predicted: float
    at_quantile: float
    by_queue: float
    """What the queue alone says, learned from the same answers."""
    came: float = 0.0


class Run:
    """One router's run."""

    def __init__(
        self,
        make: Callable[[Fleet], Router],
        priors: Priors,
        seed: int,
    ) -> None:
        self._random = Random(seed)
        self._fleets = [
            VirtualFleet(
                SERVERS[model], SimConfig((MODELS[model],), preset=PRESETS[model], max_running=PLACES)
            )
            for model in (0, 1)
        ]
        self._table = table = EndpointTable()
        names = [[f"10.{model}.0.{at}:80" for at in range(SERVERS[model])] for model in (0, 1)]
        facts = EndpointFacts(Engine.VLLM, ("default/a",))
        table.sync(dict.fromkeys([*names[0], *names[1]], facts))
        table.admit(table.rows())
        self._rows = [[table.rows()[name] for name in of_model] for of_model in names]
        self._address = {table.rows()[name]: name for of_model in names for name in of_model}
        knowledge = Knowledge(PrefixIndex(max_bytes=1 << 24), AdapterSlots(), Sessions())
        self._learner = Learner(
            table, knowledge, InflightCounts(table), HealthLedger(table), TokenCalibration()
        )
        self.experience = Experience(LengthBook(), LatencyBook())
        self._by_queue = LatencyBook(only_queue=True)
        groups = [
            group_of(names[model], table, tier=model, pool=pool_key(model), upstream_model=MODELS[model])
            for model in (0, 1)
        ]
        one_tier = [candidate_set([replace(group, tier=0)], 1) for group in groups]
        generator = np.random.default_rng(seed)
        self._router = make(
            Fleet(
                candidate_set(groups, 2),
                (one_tier[0], one_tier[1]),
                ProfileBook(plugins={}, seed=seed).profile(ProfileSnapshot()),
                Scheduler(table, knowledge),
                Chooser(table, knowledge, self.experience, generator, self._random.random),
                self._saturation,
                priors,
            )
        )
        self.answered: list[Answered] = []
        self.forecasts: list[Forecast] = []
        self._open: dict[int, tuple[Question, Placing, Placed, Served, Forecast | None]] = {}
        self._ended: list[tuple[float, int]] = []

    def serve(self, questions: list[Question], load: Load, seed: int) -> None:
        """Answer questions, drawn again where there are too few, until all have ended."""
        random = Random(seed)
        next_scrape = 0.0
        for number, now in enumerate(load.arrivals(random)):
            while next_scrape <= now:
                self._advance(next_scrape)
                self._scrape(next_scrape)
                next_scrape += SCRAPE_SECONDS
            self._advance(now)
            self._place(number, random.choice(questions), now, random)
        self._advance(float("inf"))

    def _place(self, number: int, question: Question, now: float, random: Random) -> None:
        prompt = random.randbytes(question.prompt_bytes // 2).hex().encode() or b"x"
        features = RequestFeatures(prompt=prompt_blocks(prompt))
        placing = self._router(Sight(question, features, now))
        forecast = self._forecast(placing)
        target = Target(
            placing.row, self._address[placing.row], pool_key(placing.model), MODELS[placing.model]
        )
        placed = self._learner.placed(
            str(number), (target,), features, cached_tokens=placing.cached_tokens, now=now
        )
        server = self._rows[placing.model].index(placing.row)
        served = self._fleets[placing.model].submit(
            server, Arrival(now, prompt, question.tokens[placing.model])
        )
        self._open[id(served)] = (question, placing, placed, served, forecast)

    def _forecast(self, placing: Placing) -> Forecast | None:
        if not placing.features:
            return None
        rows = np.array([placing.row])
        first, queue = (
            book.predict(
                pool_key(placing.model),
                MODELS[placing.model],
                rows,
                self._table.generation[rows],
                np.array(placing.features).reshape(-1, 1),
                0.9,
            )[0]
            for book in (self.experience.latency, self._by_queue)
        )
        if first is None or queue is None:
            return None
        seconds = float(first.seconds[0])
        return Forecast(seconds, seconds * first.factor, float(queue.seconds[0]))

    def _advance(self, until: float) -> None:
        while True:
            ends = min(fleet.next_end() for fleet in self._fleets)
            settle = self._ended[0][0] if self._ended else float("inf")
            now = min(ends, settle, until)
            if now == float("inf"):
                return
            for fleet in self._fleets:
                fleet.advance(now, self._finished)
            while self._ended and self._ended[0][0] <= now:
                self._settle(heapq.heappop(self._ended)[1], now)
            if now == until:
                return

    def _finished(self, served: Served) -> None:
        heapq.heappush(self._ended, (served.finished_at + SETTLE_SECONDS, id(served)))

    def _settle(self, key: int, now: float) -> None:
        question, placing, placed, served, forecast = self._open.pop(key)
        model = placing.model
        outcome = Outcome("", 200, placed.targets[0].address, 1, None, None)
        self._learner.settled(placed, outcome, now)
        usd = usd_of(model, served.prompt_tokens, served.tokens)
        seconds = served.finished_at - served.at_seconds
        self.answered.append(Answered(model, question.correct[model], seconds, usd))
        if placing.features:
            self.experience.lengths.observe("bench", MODELS[model], served.tokens, None)
            for book in (self.experience.latency, self._by_queue):
                book.observe(
                    pool_key(model),
                    MODELS[model],
                    placing.row,
                    0,
                    list(placing.features),
                    served.ttft_seconds,
                    served.tpot_seconds if served.tokens > 1 else None,
                )
        if forecast is not None:
            self.forecasts.append(replace(forecast, came=served.ttft_seconds))

    def _scrape(self, now: float) -> None:
        for fleet, rows in zip(self._fleets, self._rows, strict=True):
            for server, row in enumerate(rows):
                engine = fleet.engine_at(server, now)
                waiting, running = float(len(engine.waiting)), float(len(engine.running))
                self._table.measured(row, now, waiting, running, engine.blocks.usage)
                self._learner.inflight.scraped(row, now, idle=waiting + running == 0)

    def _saturation(self, model: int) -> float:
        rows = self._rows[model]
        return (
            float(min(self._table.waiting[rows] + self._table.running[rows] + self._table.unseen[rows]))
            / PLACES
        )
