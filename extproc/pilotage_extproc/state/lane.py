"""Requests that wait for the same servers: by priority, and fairly between tenants within one."""

from collections.abc import Iterator, Mapping

from pilotage_extproc.state.fair_shares import FairShares
from pilotage_extproc.state.peer_load import Demand
from pilotage_extproc.state.waiter import Waiter


class Level:
    """One priority's waiters, by tenant, the longest waiting first."""

    def __init__(self) -> None:
        self.shares = FairShares()
        self.credit = 0.0
        """Turns that are owed to it, of its minimum share."""
        self.minimum_share = 0.0
        self._by_tenant: dict[str, dict[Waiter, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_tenant)

    def add(self, waiter: Waiter) -> None:
        """It waits, behind those of its tenant."""
        of_tenant = self._by_tenant.get(waiter.tenant)
        if of_tenant is None:
            self.shares.joins(waiter.tenant, self._by_tenant.keys())
            of_tenant = self._by_tenant[waiter.tenant] = {}
        of_tenant[waiter] = None
        self.minimum_share = max(self.minimum_share, waiter.bounds.minimum_share)

    def remove(self, waiter: Waiter) -> None:
        """It does not wait any more."""
        of_tenant = self._by_tenant.get(waiter.tenant)
        if of_tenant is None or waiter not in of_tenant:
            return
        del of_tenant[waiter]
        if not of_tenant:
            del self._by_tenant[waiter.tenant]
        if not self._by_tenant:
            self.credit = self.minimum_share = 0.0

    def weights(self) -> dict[str, float]:
        """Weight by tenant, of those that wait."""
        return {tenant: next(iter(waiting)).weight for tenant, waiting in self._by_tenant.items()}

    def next(self, turn: int, late: dict[Waiter, None], now: float) -> Waiter | None:
        """Who is next in round `turn`, of the tenant with the least service.

        Those it finds too late go to `late`.
        """
        for tenant in sorted(self._by_tenant, key=self.shares.given):
            found, passed = None, []
            for waiter in self._by_tenant[tenant]:
                if waiter.has_turn or waiter.not_before > turn:
                    continue
                if waiter.deadline is None or waiter.deadline > now:
                    found = waiter
                    break
                passed.append(waiter)
            for waiter in passed:
                self.remove(waiter)
                late[waiter] = None
            if found is not None:
                return found
        return None


class Lane:
    """All waiters of the same pools."""

    def __init__(self) -> None:
        self._levels: dict[int, Level] = {}
        self._late: dict[Waiter, None] = {}
        """Those whose deadline has passed: they go last."""
        self.turns = 0
        """Given, and neither used nor given back."""
        self.waiting: dict[Waiter, None] = {}
        """Everyone, those with a turn included, the longest waiting first."""

    def level(self, priority: int) -> Level:
        """The waiters of one priority."""
        found = self._levels.get(priority)
        if found is None:
            found = self._levels[priority] = Level()
        return found

    def levels(self) -> Mapping[int, Level]:
        """Those there are, by priority."""
        return self._levels

    def demand(self) -> Demand | None:
        """Who waits, of the highest priority that does."""
        top = max((priority for priority, level in self._levels.items() if level), default=None)
        if top is None:
            return None
        level = self._levels[top]
        return Demand(top, level.minimum_share, level.weights())

    def add(self, waiter: Waiter) -> None:
        """It waits."""
        self.waiting[waiter] = None
        self.level(waiter.priority).add(waiter)

    def give(self, waiter: Waiter) -> None:
        """It is its turn, and its tenant is charged for it."""
        self.turns += 1
        self.level(waiter.priority).shares.charge(waiter.tenant, waiter.cost, waiter.weight)
        waiter.give()

    def take_back(self, waiter: Waiter, round_number: int) -> None:
        """Its turn was no use."""
        self.turns -= 1
        self.level(waiter.priority).shares.charge(waiter.tenant, -waiter.cost, waiter.weight)
        waiter.take_back(round_number)

    def remove(self, waiter: Waiter, *, used: bool) -> None:
        """It does not wait any more; a turn that it has and did not use is not charged."""
        if waiter.has_turn:
            self.turns -= 1
            if not used:
                self.level(waiter.priority).shares.charge(waiter.tenant, -waiter.cost, waiter.weight)
        waiter.end()
        del self.waiting[waiter]
        if self._late.pop(waiter, waiter) is waiter:
            self.level(waiter.priority).remove(waiter)

    def next(self, turn: int, now: float) -> Waiter | None:
        """Who is let through next: the highest priority, unless a lower one is owed a turn.

        None where nobody waits who has not been tried in this round.
        """
        found = list(self._candidates(turn, now))
        if not found:
            return next((one for one in self._late if not one.has_turn and one.not_before <= turn), None)
        first = found[0]
        if len(found) > 1:
            for level, _ in found[1:]:
                level.credit += min(level.minimum_share, 1 / len(found))
            owed = max(found[1:], key=lambda one: one[0].credit)
            if owed[0].credit >= 1.0 - 1e-9:
                owed[0].credit -= 1.0
                first = owed
        return first[1]

    def _candidates(self, turn: int, now: float) -> Iterator[tuple[Level, Waiter]]:
        for priority in sorted(self._levels, reverse=True):
            level = self._levels[priority]
            waiter = level.next(turn, self._late, now) if level else None
            if waiter is not None:
                yield level, waiter
