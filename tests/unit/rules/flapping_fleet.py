"""Three pickers before one pool, in virtual time: each sees scraped figures and its own requests only."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pilotage_api.snapshot import Engine, SaturationSnapshot
from pilotage_extproc.rules.pool_figures import PoolFigures
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable

SERVERS, SLOTS, SERVICE_SECONDS, PICKERS = 4, 8, 1.0, 3
SCRAPE_SECONDS, STEP_SECONDS = 0.1, 0.01
BOUNDS = SaturationSnapshot(queue_depth=5)
Figures = Callable[[EndpointTable, "np.ndarray", float], PoolFigures]


@dataclass(slots=True)
class Told:
    """What became of a run."""

    changes_a_minute: float
    """Of one picker: how often `poolSaturation('p') >= 1.0` changed."""
    idle_share: float
    """Of the pool's slots, after the first seconds."""
    most: float
    """Highest saturation there was."""
    diverted_share: float


class _Picker:
    def __init__(self, figures: Figures) -> None:
        self.table = EndpointTable()
        addresses = [f"10.0.0.{index}:1" for index in range(SERVERS)]
        self.table.sync({one: EndpointFacts(Engine.VLLM, ("default/p",)) for one in addresses})
        self.table.admit(addresses)
        self.rows = np.array([self.table.row_of(one) for one in addresses], dtype=np.intp)
        self.figures = figures
        self.full = False
        self.changes = 0

    def scrape(self, waiting: list[int], running: list[int], now: float) -> None:
        for row, queue, busy in zip(self.rows.tolist(), waiting, running, strict=True):
            self.table.measured(row, now, queue, busy, 0.0)
            self.table.unseen[row] = 0

    def sends_away(self, now: float) -> bool:
        saturation = self.figures(self.table, self.rows, now).saturation
        full = saturation is not None and saturation >= 1.0
        self.changes += full is not self.full
        self.full = full
        return full

    def pick(self, chance: random.Random) -> int:
        table, rows = self.table, self.rows
        load = (table.waiting + table.running + table.unseen)[rows]
        best = int(chance.choice(np.flatnonzero(load == load.min()).tolist()))
        table.unseen[rows[best]] += 1
        return best


def run(load: float, figures: Callable[[], Figures], seconds: float = 60.0, seed: int = 1) -> Told:
    """Requests at `load` times what the pool can serve; where the pool is full, they go elsewhere."""
    chance = random.Random(seed)
    pickers = [_Picker(figures()) for _ in range(PICKERS)]
    running, waiting = [0] * SERVERS, [0] * SERVERS
    rate, warm = load * SERVERS * SLOTS / SERVICE_SECONDS, seconds / 6
    next_scrape = [SCRAPE_SECONDS * index / PICKERS for index in range(PICKERS)]
    next_arrival, idle, most, diverted, total = 0.0, 0.0, 0.0, 0, 0
    for step in range(int(seconds / STEP_SECONDS)):
        now = step * STEP_SECONDS
        for index, picker in enumerate(pickers):
            if now >= next_scrape[index]:
                next_scrape[index] += SCRAPE_SECONDS
                picker.scrape(waiting, running, now)
        for server in range(SERVERS):
            running[server] -= sum(
                chance.random() < STEP_SECONDS / SERVICE_SECONDS for _ in range(running[server])
            )
            begun = min(SLOTS - running[server], waiting[server])
            running[server] += begun
            waiting[server] -= begun
        while next_arrival <= now:
            next_arrival += chance.expovariate(rate)
            total += 1
            picker = pickers[chance.randrange(PICKERS)]
            if picker.sends_away(now):
                diverted += 1
                continue
            server = picker.pick(chance)
            if running[server] < SLOTS:
                running[server] += 1
            else:
                waiting[server] += 1
        most = max(most, sum(waiting) / SERVERS / 5)
        if now >= warm:
            idle += sum(SLOTS - busy for busy in running) * STEP_SECONDS
    return Told(
        changes_a_minute=sum(one.changes for one in pickers) / PICKERS * 60 / seconds,
        idle_share=idle / (SERVERS * SLOTS * (seconds - warm)),
        most=most,
        diverted_share=diverted / total,
    )
