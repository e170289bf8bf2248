"""What requests look like: who shares which prefix, how long things are. When they come is elsewhere."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol

from bench.placement.constants import MODEL
from bench.placement.lengths import ANSWER, LATER_QUESTION, LogNormal, total_tokens
from bench.placement.requests import (
    Message,
    Request,
    Texts,
    answer,
    rendered_tokens,
    system,
    user,
)


class Shape(Protocol):
    """Makes requests for arrivals. Constant: equal ones make equal requests."""

    def __hash__(self) -> int: ...

    def requests(
        self, chance: Random, starts: Iterable[float], servers: int, texts: Texts
    ) -> Iterator[Request]:
        """In order of time; a start is a request's, or a session's first."""


def split(trace: str, prompt_share: float, chance: Random, most_output: int = 2048) -> tuple[int, int]:
    """Prompt and answer tokens of a trace's request."""
    total = total_tokens(trace).draw(chance)
    prompt = max(8, round(total * prompt_share))
    return prompt, max(1, min(most_output, total - prompt))


PROMPT_SHARE = {"azure": 0.85, "lmsys": 0.4, "agent_heavy": 0.95}
"""Of a request's tokens: the distributions give totals only, so this is assumed. Assistants read much and
answer briefly, people who chat do the opposite."""


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Chat behind long system prompts, one a group."""

    groups: float
    """A server; or of the whole fleet where `fixed`."""
    prefix_tokens: int
    question: LogNormal
    output: LogNormal
    hot_share: float = 1.0
    """Of the requests; the others share nothing."""
    fixed: bool = False

    def requests(
        self, chance: Random, starts: Iterable[float], servers: int, texts: Texts
    ) -> Iterator[Request]:
        count = max(1, round(self.groups * (1 if self.fixed else servers)))
        prefixes: dict[int, Message] = {}
        for number, at in enumerate(starts):
            group = chance.randrange(count)
            shares = chance.random() < self.hot_share
            question = rendered_tokens(self.question.draw(chance))
            output = self.output.draw(chance)
            if shares:
                if group not in prefixes:
                    prefixes[group] = system(texts, f"group {group}", self.prefix_tokens)
                prefix = prefixes[group]
            else:
                prefix = system(texts, f"own {number}", self.prefix_tokens)
            messages = (prefix, user(texts, f"question {number}", question))
            yield Request(number, at, messages, self.prefix_tokens + question, output)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Conversations that grow: each turn begins with all turns before it.

    A turn comes at its time whether or not the one before it has been answered: arrivals do not depend
    on the balancer.
    """

    applications: int
    """Whose system prompt a session begins with."""
    system_tokens: int
    first_trace: str
    mean_turns: float
    most_turns: int
    gap_seconds: float
    """Mean time a reader takes; so much and `seconds_per_token` of the answer between two turns."""
    seconds_per_token: float

    def requests(
        self, chance: Random, starts: Iterable[float], servers: int, texts: Texts
    ) -> Iterator[Request]:
        del servers
        waiting: list[tuple[float, int, int, int, tuple[Message, ...], int]] = []
        number = 0
        for session, start in enumerate(starts):
            while waiting and waiting[0][0] <= start:
                yield self._turn(number, waiting, chance, texts)
                number += 1
            turns = 1
            while turns < self.most_turns and chance.random() > 1 / self.mean_turns:
                turns += 1
            application = chance.randrange(self.applications)
            prompt, _ = split(self.first_trace, PROMPT_SHARE[self.first_trace], chance)
            prompt = rendered_tokens(prompt)
            messages = (
                system(texts, f"application {application}", self.system_tokens),
                user(texts, f"session {session}", prompt),
            )
            heapq.heappush(waiting, (start, session, turns, 1, messages, self.system_tokens + prompt))
        while waiting:
            yield self._turn(number, waiting, chance, texts)
            number += 1

    def _turn(
        self,
        number: int,
        waiting: list[tuple[float, int, int, int, tuple[Message, ...], int]],
        chance: Random,
        texts: Texts,
    ) -> Request:
        at, session, turns, turn, messages, tokens = heapq.heappop(waiting)
        output = ANSWER.draw(chance)
        if turn < turns:
            question = rendered_tokens(LATER_QUESTION.draw(chance))
            gap = chance.expovariate(1 / self.gap_seconds) + self.seconds_per_token * output
            told = answer(messages, output, MODEL, None)
            asked = user(texts, f"session {session} turn {turn}", question)
            following = (*messages, told, asked)
            heapq.heappush(
                waiting, (at + gap, session, turns, turn + 1, following, tokens + output + question)
            )
        return Request(number, at, messages, tokens, output, session=session)


@dataclass(frozen=True, slots=True)
class Traces:
    """Requests of several traces, mixed; agents begin with one of several tool definitions."""

    shares: tuple[tuple[str, float], ...]
    """Trace and its share of the requests."""
    tool_sets: float = 0.0
    """A server."""
    tool_tokens: int = 0

    def requests(
        self, chance: Random, starts: Iterable[float], servers: int, texts: Texts
    ) -> Iterator[Request]:
        names = [name for name, _ in self.shares]
        weights = [share for _, share in self.shares]
        sets = round(self.tool_sets * servers)
        for number, at in enumerate(starts):
            [trace] = chance.choices(names, weights)
            prompt, output = split(trace, PROMPT_SHARE[trace], chance)
            tools = chance.randrange(sets) if sets else 0
            if trace == "agent_heavy" and sets and prompt > self.tool_tokens + 8:
                messages: tuple[Message, ...] = (
                    system(texts, f"tools {tools}", self.tool_tokens),
                    user(texts, f"task {number}", prompt - self.tool_tokens),
                )
            else:
                prompt = rendered_tokens(prompt)
                messages = (user(texts, f"request {number}", prompt, first=True),)
            yield Request(number, at, messages, prompt, output)


@dataclass(frozen=True, slots=True)
class Adapters:
    """Chat with many LoRA adapters, some popular and most not (Zipf)."""

    adapters: float
    """A server."""
    exponent: float
    trace: str

    def requests(
        self, chance: Random, starts: Iterable[float], servers: int, texts: Texts
    ) -> Iterator[Request]:
        names = adapter_names(self, servers)
        weights = [1 / (rank + 1) ** self.exponent for rank in range(len(names))]
        sums = [sum(weights[: rank + 1]) for rank in range(len(weights))]
        for number, at in enumerate(starts):
            [adapter] = chance.choices(names, cum_weights=sums)
            prompt, output = split(self.trace, PROMPT_SHARE[self.trace], chance)
            prompt = rendered_tokens(prompt)
            messages = (user(texts, f"request {number}", prompt, first=True),)
            yield Request(number, at, messages, prompt, output, adapter)


def adapter_names(shape: Shape, servers: int) -> tuple[str, ...]:
    """The adapters a fleet must know for a shape."""
    if not isinstance(shape, Adapters):
        return ()
    return tuple(f"adapter-{index}" for index in range(round(shape.adapters * servers)))
