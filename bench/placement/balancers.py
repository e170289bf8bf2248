"""What chooses a server: the balancers Envoy brings, and a reference that follows prefixes alone."""

from collections.abc import Callable
from random import Random
from typing import Protocol

import xxhash

from bench.placement.requests import Request
from pilotage_sim.engine.core import Engine

EngineAt = Callable[[int], Engine]
"""A server's engine as it is now: what its metrics page would tell."""


class Balancer(Protocol):
    """Places requests in virtual time. All times are seconds of the run."""

    @property
    def name(self) -> str:
        """In tables and on the command line."""

    def place(self, request: Request, prompt: bytes, now: float) -> int:
        """The server a request goes to."""

    def finished(self, number: int, server: int, now: float) -> None:
        """A request's answer has ended."""

    def next_wake(self) -> float:
        """When it wants to be woken next; infinity is never."""

    def wake(self, now: float, engine_at: EngineAt) -> None:
        """That time has come: scrape, or learn late of what has ended."""


class _Awake:
    """Never needs waking."""

    def next_wake(self) -> float:
        return float("inf")

    def wake(self, now: float, engine_at: EngineAt) -> None:
        del now, engine_at


class RoundRobin(_Awake):
    """Envoy's ROUND_ROBIN with equal weights: each in turn."""

    name = "round-robin"

    def __init__(self, servers: int, seed: int) -> None:
        self._servers = servers
        self._next = Random(seed).randrange(servers)

    def place(self, request: Request, prompt: bytes, now: float) -> int:
        del request, prompt, now
        server, self._next = self._next, (self._next + 1) % self._servers
        return server

    def finished(self, number: int, server: int, now: float) -> None:
        pass


class LeastRequest(_Awake):
    """Envoy's LEAST_REQUEST with equal weights: of `choices` hosts drawn at random, the one with the fewest
    active requests.

    Two choices are Envoy's default (`choice_count`,
    https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/load_balancing_policies/least_request/v3/least_request.proto).
    A host may be drawn twice, and the first drawn wins a tie, as in Envoy's `unweightedHostPick`
    (source/extensions/load_balancing_policies/least_request/least_request_lb.cc).
    """

    name = "least-request"

    def __init__(self, servers: int, seed: int, choices: int = 2) -> None:
        self._active = [0] * servers
        self._choices = choices
        self._random = Random(seed)

    def place(self, request: Request, prompt: bytes, now: float) -> int:
        del request, prompt, now
        active = self._active
        best = self._random.randrange(len(active))
        for _ in range(self._choices - 1):
            other = self._random.randrange(len(active))
            if active[other] < active[best]:
                best = other
        active[best] += 1
        return best

    def finished(self, number: int, server: int, now: float) -> None:
        del number, now
        self._active[server] -= 1


class PrefixHash(_Awake):
    """A reference, not a rival: the hash of a prompt's first kilobyte names its server, whatever the load."""

    name = "prefix-hash"
    _BYTES = 1024

    def __init__(self, servers: int, seed: int) -> None:
        self._servers = servers
        self._seed = seed

    def place(self, request: Request, prompt: bytes, now: float) -> int:
        del request, now
        return xxhash.xxh3_64_intdigest(prompt[: self._BYTES], self._seed) % self._servers

    def finished(self, number: int, server: int, now: float) -> None:
        pass
