"""The workloads: constants, with the reason for each. Set before any scheduler was tuned.

Rates are shares of the fleet's capacity (`capacity.request_seconds`, nothing cached), so that a workload
is the same on 8, 64 and 512 servers. Arrivals are open: they do not wait for answers.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from bench.placement.capacity import fleet_capacity, request_seconds
from bench.placement.lengths import ANSWER, LogNormal
from bench.placement.requests import Request, Texts
from bench.placement.shapes import Adapters, Sessions, Shape, SharedPrefix, Traces

_SAMPLE = 10_000


@dataclass(frozen=True, slots=True)
class Bursts:
    """Quiet, then a burst, in turn; the mean of both is the workload's load."""

    quiet_seconds: float = 6.0
    burst_seconds: float = 1.5
    quiet_factor: float = 0.5
    burst_factor: float = 3.0

    def factor(self, at: float) -> float:
        """Of the mean rate at a time."""
        inside = at % (self.quiet_seconds + self.burst_seconds) < self.quiet_seconds
        return self.quiet_factor if inside else self.burst_factor


@dataclass(frozen=True, slots=True)
class Workload:
    """What comes, and how much of it."""

    name: str
    about: str
    shape: Shape
    load: float
    """Of the fleet's capacity."""
    warmup_seconds: float = 40.0
    """Caches fill and sessions grow; not measured."""
    bursts: Bursts | None = None
    slow_one_in: int = 0
    """One server in so many is slower."""
    slow_factor: float = 3.0

    def at_load(self, load: float) -> "Workload":
        """The same requests, more or less often."""
        return replace(self, load=load)

    def slow(self, servers: int) -> dict[int, float]:
        """How many times slower, by server; the others are not."""
        if not self.slow_one_in:
            return {}
        return dict.fromkeys(range(0, servers, self.slow_one_in), self.slow_factor)

    def starts_per_second(self, servers: int) -> float:
        """Mean rate of arrivals: of requests, or of sessions."""
        capacity = fleet_capacity(servers, self.slow(servers))
        return self.load * capacity / start_seconds(self.shape, servers)

    def requests(self, servers: int, seed: int, seconds: float) -> Iterator[Request]:
        """All that come within so long, in order; the same for the same seed."""
        arrivals = Random(f"{self.name}/{seed}/arrivals")
        bodies = Random(f"{self.name}/{seed}/bodies")
        starts = poisson(arrivals, self.starts_per_second(servers), seconds, self.bursts)
        for request in self.shape.requests(bodies, starts, servers, shared_texts()):
            if request.at_seconds > seconds:
                return
            yield request


def poisson(chance: Random, rate: float, seconds: float, bursts: Bursts | None) -> Iterator[float]:
    """Times of a Poisson process; with bursts its rate changes in turn (by thinning)."""
    factor: Callable[[float], float] = bursts.factor if bursts else lambda _: 1.0
    most = max(bursts.quiet_factor, bursts.burst_factor) if bursts else 1.0
    at = 0.0
    while True:
        at -= math.log(1.0 - chance.random()) / (rate * most)
        if at > seconds:
            return
        if chance.random() * most < factor(at):
            yield at


@cache
def shared_texts() -> Texts:
    """One text for all: it takes a moment to make."""
    return Texts()


class _NoTexts(Texts):
    """Where only lengths matter."""

    def __init__(self) -> None:
        pass

    def take(self, key: str, length: int) -> str:
        del key, length
        return ""


@cache
def start_seconds(shape: Shape, servers: int) -> float:
    """Mean server-seconds a start brings, from a fixed sample."""
    sample = shape.requests(Random("sample"), [0.0] * _SAMPLE, servers, _NoTexts())
    return sum(request_seconds(one.prompt_tokens, one.max_tokens) for one in sample) / _SAMPLE


_WORKLOADS = (
    # llm-d's benchmark of prefix-aware scheduling ("X-37"): 83 prefixes of 8,000 tokens on 4 servers with
    # 461,000 tokens of cache each, questions of 1,000. Answers here are a chat's. A server holds 45 prefixes
    # of 166; all servers together hold each twice.
    Workload(
        "shared-prefix",
        "chat behind 166 system prompts of 8,000 tokens",
        SharedPrefix(20.75, 8000, LogNormal(1000, 0.4), ANSWER),
        0.8,
    ),
    # conversations that begin with a document or task (Azure's prompt lengths) and go on for some turns
    Workload(
        "sessions",
        "conversations of 4.5 turns on average",
        Sessions(8, 512, "azure", 5.0, 10, 6.0, 0.02),
        0.75,
        warmup_seconds=90.0,
    ),
    # one and a half seconds at 2.4 times the capacity (nothing cached), every seven and a half seconds
    Workload(
        "bursts",
        "six times the requests for 1.5 s of every 7.5 s, system prompts of 4,000 tokens",
        SharedPrefix(20.75, 4000, LogNormal(500, 0.6), ANSWER),
        0.8,
        bursts=Bursts(),
    ),
    # requests of 100 to 60,000 tokens: one may keep a server busy for two seconds
    Workload(
        "long-mixed",
        "agents, assistants and chat: 10 to 60,000 tokens",
        Traces((("agent_heavy", 0.5), ("azure", 0.3), ("lmsys", 0.2)), 5.0, 1500),
        0.7,
    ),
    # 50 adapters on 8 servers with 4 slots each: not all fit, and most requests are for a few. The load
    # is low because slots, not arithmetic, are short: at 0.15 round robin's queues grow without end
    Workload("adapters", "50 LoRA adapters, 4 slots a server", Adapters(6.25, 1.0, "lmsys"), 0.12, 20.0),
    Workload(
        "slow-server",
        "one server in eight three times slower",
        Traces((("azure", 1.0),)),
        0.6,
        warmup_seconds=20.0,
        slow_one_in=8,
    ),
    # affinity hurts: two short prefixes are in four fifths of all prompts, answers are long. Sending each
    # where its prefix is saves 17 ms of prefill and gives two servers most of the work
    Workload(
        "hot-prefix",
        "two prefixes of 512 tokens in 80% of the prompts, long answers: affinity hurts",
        SharedPrefix(2, 512, LogNormal(256), LogNormal(430), hot_share=0.8, fixed=True),
        1.2,
        warmup_seconds=20.0,
    ),
)
WORKLOADS = {one.name: one for one in _WORKLOADS}
