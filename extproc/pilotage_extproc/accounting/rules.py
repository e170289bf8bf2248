"""The limits and budgets of one resource, ready to be claimed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot, Per, RateLimitSnapshot
from pilotage_api.money import nano_dollars
from pilotage_api.periods import Calendar, PeriodLength
from pilotage_extproc.accounting.accounts import account, budget_name, limit_name, party
from pilotage_extproc.accounting.claims import (
    UNBOUNDED,
    Amount,
    BudgetClaim,
    Claim,
    ConcurrentClaim,
    WindowClaim,
)
from pilotage_extproc.domain.identity import Identity


class Expected(NamedTuple):
    """What a request may use, before it is sent."""

    input_tokens: int
    """An estimate."""
    output_tokens: int
    """The most that it may make, or an estimate where nothing bounds it."""
    most_nano: int
    """Nano-dollars that it can cost at most; read only where a budget is hard."""
    most_by_model: tuple[tuple[str, int], ...] = ()
    """The same at each upstream model of its attempts; of one that is not there it is that of all."""

    def at(self, model: str) -> "Expected":
        """What attempts at one model may cost."""
        nano = next((nano for name, nano in self.most_by_model if name == model), self.most_nano)
        return self._replace(most_nano=nano)


@dataclass(slots=True, frozen=True)
class LimitRule:
    """One limit: a claim for each thing that it bounds."""

    name: str
    per: Per
    window_ms: int
    windowed: tuple[tuple[Amount, int], ...]
    concurrent: int | None

    @classmethod
    def of(cls, scope: str, limit: RateLimitSnapshot) -> "LimitRule":
        """Of a resource (`scope`)."""
        bounds = {
            Amount.REQUESTS: limit.requests,
            Amount.INPUT_TOKENS: limit.input_tokens,
            Amount.OUTPUT_TOKENS: limit.output_tokens,
            Amount.TOTAL_TOKENS: limit.total_tokens,
        }
        return cls(
            limit_name(scope, limit),
            limit.per,
            round((limit.window_seconds or 0) * 1000),
            tuple((amount, bound) for amount, bound in bounds.items() if bound is not None),
            limit.concurrent,
        )

    def claims(self, counted: str, expected: Expected, model: str | None) -> list[Claim]:
        """What a request claims of this account, which counts this model alone where there are others."""
        claims: list[Claim] = []
        for amount, bound in self.windowed:
            held = 1 if amount is Amount.REQUESTS else _tokens(amount, bound, expected)
            claims.append(WindowClaim(counted, amount, bound, held, self.window_ms, model))
        if self.concurrent is not None:
            claims.append(ConcurrentClaim(counted, self.concurrent))
        return claims

    def places(self, counted: str, model: str) -> list[Claim]:
        """Where a later attempt at this model counts if it answers: holds nothing, refuses nobody."""
        return [
            WindowClaim(counted, amount, UNBOUNDED, 0, self.window_ms, model) for amount, _ in self.windowed
        ]


@dataclass(slots=True, frozen=True)
class BudgetRule:
    """One budget."""

    name: str
    per: Per
    calendar: Calendar
    bound: int
    """Nano-dollars."""
    hard: bool
    alert_at: tuple[str, ...]
    instead: int | None

    @classmethod
    def of(cls, scope: str, budget: BudgetLimitSnapshot) -> "BudgetRule":
        """Of a resource (`scope`)."""
        return cls(
            budget_name(scope, budget),
            budget.per,
            Calendar(PeriodLength(budget.period), budget.time_zone),
            nano_dollars(budget.usd),
            budget.hard,
            budget.alert_at,
            budget.instead,
        )

    def claim(self, counted: str, expected: Expected, epoch_seconds: float) -> BudgetClaim:
        """What a request claims of this account now."""
        held = expected.most_nano if self.hard else 0
        period = self.calendar.at(epoch_seconds)
        return BudgetClaim(counted, self.bound, held, period, self.hard)


_NOTHING: Final = Expected(0, 0, 0)
_MOST_KNOWN: Final = 4096


@dataclass(slots=True, frozen=True)
class SpendingRules:
    """All limits and budgets of one resource."""

    scope: str
    """The resource, as people know it: `policy namespace/name`."""
    limits: tuple[LimitRule, ...]
    budgets: tuple[BudgetRule, ...]
    hard: bool = field(init=False)
    """Whether any of its budgets is never to be overdrawn."""
    reads_tokens: bool = field(init=False)
    """Whether it matters how many tokens a request may have."""
    _limits_by_model: bool = field(init=False)
    _known: dict[tuple[Identity, str], tuple[str, ...]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """Accounts by who asks and the model, those of limits first: some thousands that were asked for."""

    def __post_init__(self) -> None:
        counted = (amount for limit in self.limits for amount, _ in limit.windowed)
        reads_tokens = bool(self.budgets) or any(amount is not Amount.REQUESTS for amount in counted)
        object.__setattr__(self, "hard", any(budget.hard for budget in self.budgets))
        object.__setattr__(self, "reads_tokens", reads_tokens)
        by_model = any(limit.per is Per.MODEL and limit.windowed for limit in self.limits)
        object.__setattr__(self, "_limits_by_model", by_model)

    @classmethod
    def of(cls, scope: str, governance: GovernanceSnapshot) -> "SpendingRules":
        """Of what a resource bounds."""
        return cls(
            scope,
            tuple([LimitRule.of(scope, limit) for limit in governance.limits]),
            tuple([BudgetRule.of(scope, budget) for budget in governance.budgets]),
        )

    def claims(
        self, identity: Identity, models: Sequence[str], expected: Expected, epoch_seconds: float
    ) -> list[Claim]:
        """All claims of one request, whose attempts are at these models, in order."""
        claims: list[Claim] = []
        accounts = self._accounts(identity, models[0])
        later = list(dict.fromkeys(models))[1:] if self._limits_by_model else []
        for limit, counted in zip(self.limits, accounts, strict=False):
            told_apart = bool(later) and limit.per is Per.MODEL
            claims += limit.claims(counted, expected, models[0] if told_apart else None)
        for model in later:
            for limit, counted in zip(self.limits, self._accounts(identity, model), strict=False):
                if limit.per is Per.MODEL:
                    claims += limit.places(counted, model)
        for budget, counted in zip(self.budgets, accounts[len(self.limits) :], strict=True):
            if budget.per is not Per.MODEL:
                claims.append(budget.claim(counted, expected, epoch_seconds))
        if self.by_model:
            claims += self._claims_by_model(identity, models, expected, epoch_seconds)
        return claims

    def _claims_by_model(
        self, identity: Identity, models: Sequence[str], expected: Expected, epoch_seconds: float
    ) -> list[Claim]:
        """Whichever of them answers, its own budget pays."""
        return [
            budget.claim(counted, expected.at(model), epoch_seconds)._replace(model=model)
            for model in dict.fromkeys(models)
            for budget, counted in zip(
                self.budgets, self._accounts(identity, model)[len(self.limits) :], strict=True
            )
            if budget.per is Per.MODEL
        ]

    def _accounts(self, identity: Identity, model: str) -> tuple[str, ...]:
        key = (identity, model)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            limits = [account(one.name, party(one.per, identity, model)) for one in self.limits]
            budgets = [account(one.name, party(one.per, identity, model)) for one in self.budgets]
            known = self._known[key] = (*limits, *budgets)
        return known

    @property
    def by_model(self) -> bool:
        """Whether any of its budgets counts each model by itself."""
        return any(budget.per is Per.MODEL for budget in self.budgets)

    def spent_by_model(
        self,
        identity: Identity,
        model: str,
        expected: Expected,
        epoch_seconds: float,
        spent: Callable[[BudgetClaim], int],
    ) -> bool:
        """Whether a budget that counts each model by itself has no room at this one for such a request."""
        accounts = self._accounts(identity, model)[len(self.limits) :]
        for budget, counted in zip(self.budgets, accounts, strict=True):
            if budget.per is Per.MODEL:
                claim = budget.claim(counted, expected, epoch_seconds)
                booked = spent(claim)
                if booked >= claim.bound or booked + claim.held > claim.bound:
                    return True
        return False

    def spent(
        self, identity: Identity, model: str, epoch_seconds: float, spent: Callable[[BudgetClaim], int]
    ) -> int | None:
        """The alternative of the first soft budget that has one and is spent; None where none is."""
        accounts = self._accounts(identity, model)[len(self.limits) :]
        for budget, counted in zip(self.budgets, accounts, strict=True):
            if budget.instead is None:
                continue
            claim = budget.claim(counted, _NOTHING, epoch_seconds)
            if spent(claim) >= claim.bound:
                return budget.instead
        return None


def _tokens(amount: Amount, bound: int, expected: Expected) -> int:
    """Tokens to hold. Output that its client left open holds no more than there is at all."""
    output = expected.output_tokens
    if amount is Amount.INPUT_TOKENS:
        return expected.input_tokens
    if amount is Amount.OUTPUT_TOKENS:
        return min(output, bound)
    return expected.input_tokens + min(output, max(0, bound - expected.input_tokens))
