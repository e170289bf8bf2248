"""Where a request goes: the candidates of its rule, ranked, and the best of them in order."""

from collections.abc import Callable

from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.decision import Decision
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.misfits import misfits_of
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.scheduling.shaping import Shape
from pilotage_extproc.scheduling.weighted_order import sticky_chances, weighted_order
from pilotage_extproc.stages.attempt_list import AttemptList
from pilotage_extproc.stages.places import allowed_places, nowhere


class Decide(Step):
    """Ranks candidates; the decision lists the attempts, best first."""

    name = "decide"

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        process_id: str,
        attempts: AttemptList,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        """`chance` draws between 0 and 1, for splits by weight."""
        self._scheduler = scheduler
        self._process_id = process_id
        self._attempts = attempts
        self._clock = clock
        self._chance = chance
        self._sequence = 0

    def apply(self, exchange: Exchange) -> None:
        """Decide. Raises RequestRefused where no candidate is available."""
        route, now = exchange.route, self._clock()
        fallback = route.shaping
        ranking = self._scheduler.rank(
            route.candidates,
            route.profile,
            request=exchange.features,
            subset=allowed_places(exchange),
            reach=exchange.head.reach,
            call=exchange.call.kind,
            limit=self._attempts.most,
            tier_order=None if route.weights is None else self._drawn(exchange, route.weights),
            now=now,
            shape=None if fallback is None else Shape(fallback, misfits_of(exchange, fallback)),
        )
        if not ranking.order:
            raise nowhere(exchange)
        ranking = self._attempts.of(exchange, ranking, now)
        self._sequence += 1
        exchange.decided(
            ranking,
            Decision(
                id=f"{self._process_id}-{self._sequence:x}",
                targets=route.candidates.targets.at(ranking.order),
                model=exchange.document.model,
                policy=route.policy,
                rule=route.rule,
                snapshot_version=exchange.snapshot_version,
                decided_at=now,
            ),
        )

    def _drawn(self, exchange: Exchange, weights: tuple[int, ...]) -> list[int]:
        """The order of models, by weight; the same for the same value of the header that makes it sticky."""
        route = exchange.route
        value = None if route.sticky_by is None else exchange.head.headers.get(route.sticky_by)
        if value:
            return weighted_order(weights, sticky_chances(value, route.models[: len(weights)]))
        return weighted_order(weights, [self._chance() for _ in weights])
