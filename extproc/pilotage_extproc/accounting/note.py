"""What any process needs to settle a request that another one has decided: it lies beside the hold."""

from typing import Any, NamedTuple, Self

import orjson

from pilotage_api.periods import Period
from pilotage_extproc.accounting.claims import (
    Amount,
    BudgetClaim,
    Claim,
    ConcurrentClaim,
    Hold,
    WindowClaim,
)
from pilotage_extproc.accounting.price import Price, Rates


class Spender(NamedTuple):
    """Who and what the money of a request is for, as the ledger has it: names, never text of a request."""

    tenant: str = ""
    team: str = ""
    key: str = ""
    user: str = ""
    policy: str = ""
    model: str = ""
    """As the client named it."""


class SettlingNote(NamedTuple):
    """One admitted request, until it is settled."""

    hold: Hold
    spender: Spender
    prices: tuple[tuple[str, str, Price | None], ...]
    """For each address of its attempts the upstream model and its price then; None is not known."""
    input_tokens: int
    """An estimate of its prompt, for when no usage is known."""
    most: tuple[int, int] | None = None
    """Tokens of input and output that any attempt can come to; None where no hard budget relies on it."""
    reach: tuple[int, int] | None = None
    """Tokens that its models have room for, and no answer can have used more of; None is not known."""

    def most_at(self, address: str | None) -> int:
        """Nano-dollars that an attempt there can cost at most; of a place not known, at the dearest."""
        if self.most is None:
            return 0
        prices = [price for known, _, price in self.prices if known == address]
        if not prices:
            prices = [price for _, _, price in self.prices]
        return max([price.most(*self.most) for price in prices if price is not None], default=0)

    def priced(self, address: str | None) -> tuple[str, Price | None]:
        """Upstream model and price at an address; of the first attempt where that is none of them."""
        for known, model, price in self.prices:
            if known == address:
                return model, price
        return (self.prices[0][1], self.prices[0][2]) if self.prices else ("", None)

    def encoded(self) -> bytes:
        """As bytes."""
        hold = self.hold
        return orjson.dumps(
            [
                hold.id,
                [_claim_out(claim) for claim in hold.claims],
                hold.slots,
                list(self.spender),
                [[address, model, _price_out(price)] for address, model, price in self.prices],
                self.input_tokens,
                self.most,
                self.reach,
            ]
        )

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """The note again. Raises ValueError on anything else."""
        try:
            identifier, claims, slots, spender, prices, tokens, most, reach = orjson.loads(data)
            return cls(
                Hold(str(identifier), tuple(map(_claim_in, claims)), tuple(map(int, slots))),
                Spender(*map(str, spender)),
                tuple((str(address), str(model), _price_in(price)) for address, model, price in prices),
                int(tokens),
                None if most is None else (int(most[0]), int(most[1])),
                None if reach is None else (int(reach[0]), int(reach[1])),
            )
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"not a settling note: {error}") from error


def _claim_out(claim: Claim) -> list[Any]:
    if isinstance(claim, WindowClaim):
        of_window = [claim.bound, claim.held, claim.window_ms, claim.model]
        return ["w", claim.account, claim.amount.value, *of_window]
    if isinstance(claim, ConcurrentClaim):
        return ["c", claim.account, claim.bound, claim.held]
    period = claim.period
    return ["b", claim.account, claim.bound, claim.held, period.start, period.end, claim.hard, claim.model]


def _claim_in(values: list[Any]) -> Claim:
    kind, rest = values[0], values[1:]
    if kind == "w":
        account, amount, bound, held, window_ms, model = rest
        return WindowClaim(account, Amount(amount), bound, held, window_ms, model)
    if kind == "c":
        account, bound, held = rest
        return ConcurrentClaim(account, bound, held=held)
    if kind != "b":
        raise ValueError(f"no claim is of kind {kind!r}")
    account, bound, held, start, end, hard, model = rest
    return BudgetClaim(account, bound, held, Period(start, end), hard, model=model)


def _rates_out(rates: Rates) -> list[int]:
    plain = [rates.input, rates.cached, rates.cache_write, rates.output]
    return [*plain, rates.cache_write_hour, rates.audio_input, rates.audio_output]


def _price_out(price: Price | None) -> list[Any] | None:
    if price is None:
        return None
    return [_rates_out(price.base), [[above, _rates_out(rates)] for above, rates in price.tiers]]


def _price_in(values: list[Any] | None) -> Price | None:
    if values is None:
        return None
    base, tiers = values
    return Price(Rates(*base), tuple((above, Rates(*rates)) for above, rates in tiers))
