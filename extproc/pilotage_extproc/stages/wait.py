"""A request waits while no server has room for it, and is decided anew when it is its turn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pilotage_api.fallback import FallbackReason
from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_extproc.dialects.call import max_tokens
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.choices import likely_answers
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.room import PoolRoom
from pilotage_extproc.scheduling.route import Route
from pilotage_extproc.state.fair_shares import service
from pilotage_extproc.state.objectives import Objectives
from pilotage_extproc.state.waiter import Standing, Waiter
from pilotage_extproc.state.waiting_line import Served, WaitingLine

_WAITER: Final = Note[Waiter]("waiter")
_SERVED: Final = Note[Served]("service")
_EXPECTED_OUTPUT: Final = 256
"""Tokens of an answer that nothing bounds, until it is known."""

Again = Callable[[Exchange], Awaitable[DirectAnswer | None]]
"""Decides a request from its rule on."""


class Wait(Step):
    """Lets a request pass where the first server of its decision has room, else has it wait for its turn."""

    name = "wait"
    settles = True

    def __init__(
        self,
        policy: str,
        bounds: QueueSnapshot,
        pools: frozenset[str],
        *,
        line: WaitingLine,
        room: PoolRoom,
        objectives: Objectives,
        standing: Callable[[Identity], Standing],
        again: Again,
        clock: Clock,
    ) -> None:
        """`pools` are all that the policy's rules may use."""
        self._policy = policy
        self._bounds = bounds
        self._pools = pools
        self._line = line
        self._room = room
        self._objectives = objectives
        self._standing = standing
        self._again = again
        self._clock = clock

    def apply(self, exchange: Exchange) -> Awaitable[DirectAnswer | None] | None:
        """Let it pass or wait. Raises RequestRefused: 429 where it may not wait, 503 where it has in vain."""
        pools = self._waits_for(exchange)
        standing = self._standing(exchange.identity)
        priority = self._priority(exchange, standing, pools)
        if not self._line.occupied(pools) and self._has_room(exchange) and self._room.share(pools) >= 1:
            tenant, cost = exchange.identity.tenant, _expected_cost(exchange)
            exchange.keep(_SERVED, self._line.pass_by(pools, priority, tenant, standing.weight, cost))
            return None
        return self._wait(exchange, pools, priority, standing.weight)

    def finish(self, exchange: Exchange, outcome: Outcome) -> None:
        """It has ended: what it took is known, and there may be room for others."""
        waiter = exchange.kept(_WAITER)
        if waiter is not None:
            self._line.left(waiter)
        served = exchange.kept(_SERVED)
        if served is not None:
            usage = outcome.usage
            took = 0.0
            if outcome.decision_id and not outcome.given_up:
                output = usage.output_tokens if usage.output_tokens is not None else outcome.counted_output
                known = usage.input_tokens is not None and output is not None
                took = service(usage.input_tokens or 0, output or 0) if known else served.charged
            self._line.settle(served, took)
        self._line.room_changed()

    def _waits_for(self, exchange: Exchange) -> frozenset[str]:
        """Pools that may have room for it: of all its rule's models, or of those up to the first in its list.

        The latter where the rule says that a full model is not passed over.
        """
        decision = exchange.decision
        if not decision.targets:
            return self._pools
        route = exchange.route
        tiers, first = route.tier_pools, decision.targets[0].pool
        if len(tiers) == 1 or _passes_full_over(route):
            return frozenset().union(*tiers)
        last = max((tier for tier, pools in enumerate(tiers) if first in pools), default=0)
        return frozenset().union(*tiers[: last + 1])

    def _priority(self, exchange: Exchange, standing: Standing, pools: frozenset[str]) -> int:
        """The tenant's and the policy's; an InferenceObjective stands for the latter.

        Of a tenant's request it may only lower it: clients choose the header.
        """
        own, objective = self._bounds.priority, exchange.head.objective
        if objective:
            named = max((self._objectives.priority(pool, objective) for pool in pools), default=0)
            own = min(named, own) if exchange.identity.tenant else named
        return own + standing.priority

    def _has_room(self, exchange: Exchange) -> bool:
        targets = exchange.decision.targets
        return bool(targets) and self._room.at(targets[0].row, targets[0].pool)

    async def _wait(
        self, exchange: Exchange, pools: frozenset[str], priority: int, weight: float
    ) -> DirectAnswer | None:
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[RequestRefused | None] = asyncio.Queue()
        waiter = Waiter(
            policy=self._policy,
            bounds=self._bounds,
            pools=pools,
            tenant=exchange.identity.tenant,
            weight=weight,
            priority=priority,
            body_bytes=len(exchange.body),
            cost=_expected_cost(exchange),
            since=self._clock(),
            deadline=exchange.limits.deadline,
            tell=told.put_nowait,
        )
        self._line.join(waiter)
        exchange.keep(_WAITER, waiter)
        exchange.unread()
        late = loop.call_later(self._bounds.max_wait_seconds, self._line.expire, waiter)
        try:
            if told.empty():
                await exchange.ask_patience(self._bounds.max_wait_seconds)
            while True:
                refused = await told.get()
                if refused is not None:
                    raise refused
                answer = await self._anew(exchange)
                if answer is not None:
                    self._line.left(waiter)
                    return answer
                if self._has_room(exchange):
                    exchange.queued(self._clock() - waiter.since)
                    break
                exchange.unread()
                self._line.returned(waiter)
        except BaseException:
            self._line.left(waiter)
            raise
        finally:
            late.cancel()
        if not exchange.plan.waiting:
            self._line.left(waiter)  # its rule has changed meanwhile, to one that has no queue
        return None

    async def _anew(self, exchange: Exchange) -> DirectAnswer | None:
        """Decide it anew; without a decision where no server is there after all."""
        exchange.undecided()
        try:
            return await self._again(exchange)
        except RequestRefused as refused:
            if refused.reason is not Refusal.NO_ENDPOINTS:
                raise
            return None


class Went(Step):
    """The last of committing: a request that has waited is on its way, and its turn is used."""

    name = "went"

    def __init__(self, line: WaitingLine) -> None:
        self._line = line

    def apply(self, exchange: Exchange) -> None:
        """Its place is free."""
        waiter = exchange.kept(_WAITER)
        served = None if waiter is None else self._line.went(waiter)
        if served is not None:
            exchange.keep(_SERVED, served)


def _passes_full_over(route: Route) -> bool:
    shaping = route.shaping
    return shaping is not None and FallbackReason.SATURATED in shaping.at_decision


def _expected_cost(exchange: Exchange) -> float:
    dialect, output = DIALECTS.get(exchange.call.kind), _EXPECTED_OUTPUT
    if dialect is None or not dialect.output_limits:
        output = 0
    else:
        try:
            stated = max_tokens(dialect, exchange.document.members)
        except UnknownFactError:
            stated = None
        if stated is not None:
            output = max(0, min(stated, _EXPECTED_OUTPUT))
        output *= likely_answers(dialect, exchange.document.members)
    prompt = exchange.features.prompt_tokens or len(exchange.body) / exchange.features.bytes_per_token
    return service(prompt, output)
