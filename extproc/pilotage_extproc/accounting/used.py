"""What a request has used, by how it ended; exactly, or as an estimate where its usage is not known."""

from dataclasses import replace
from typing import Final, NamedTuple

from pilotage_extproc.accounting.claims import Amount, BudgetClaim, Claim, ConcurrentClaim, Hold, Settlement
from pilotage_extproc.accounting.note import SettlingNote
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.domain.providers import is_provider

_NOTHING = TokenUsage(0, 0)
_LEFT_WAITING: Final = frozenset(
    {
        "stream_idle_timeout",
        "duration_timeout",
        "downstream_connection_termination",
        "downstream_remote_reset",
    }
)
"""Envoy's flags of requests that it answered itself while their server was at work on them. Attempts that
were late are logged by themselves."""
MOST_TOKENS: Final = 100_000_000
"""Of input, and of output, that any request is booked: several times what the longest body can stand for."""
_OF_INPUT: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "cache_write_hour_input_tokens",
    "audio_input_tokens",
)
_OF_OUTPUT: Final = ("output_tokens", "reasoning_tokens", "audio_output_tokens")
_PAID: Final = frozenset({Amount.INPUT_TOKENS, Amount.OUTPUT_TOKENS, Amount.TOTAL_TOKENS, Amount.MONEY})


class Used(NamedTuple):
    """Tokens and money of one request."""

    usage: TokenUsage
    nano: int
    """Nano-dollars; 0 where the model has no price."""
    upstream_model: str
    exact: bool
    anywhere: bool = False
    """Whether any of its models may have answered, or still may."""
    bounded: bool = False
    """Whether its server said more tokens than it can have used."""


def used(note: SettlingNote, outcome: Outcome) -> Used:
    """What it comes to.

    An answer without usage is an estimate: the prompt as estimated, and the output that Envoy counted in
    what it sent on. A request that no server answered, or that one refused, has used nothing. For a hard
    budget an estimate is no bound where a provider bills what was not seen (several tokens in a piece,
    thoughts, what it went on with), or where the answer may still go on: that is the most it can cost.
    More tokens than it can have used are not believed: the most that it can have is booked, as an estimate.
    """
    said, known = _usage(note, outcome)
    usage = _within_reach(note, said)
    bounded = usage != said
    address = outcome.upstream_address
    model, price = note.priced(address)
    nano = 0 if price is None else price.cost(usage)
    if not known and _may_be_more(outcome):
        nano = max(nano, note.most_at(address))
    exact = known and not bounded
    return Used(usage, nano, model, exact, anywhere=outcome.given_up, bounded=bounded)


def _within_reach(note: SettlingNote, usage: TokenUsage) -> TokenUsage:
    """The usage, with no more than the models have room for and what a hard budget holds."""
    most = note.most or (0, 0)
    reach = note.reach or (MOST_TOKENS, MOST_TOKENS)
    most_input, most_output = (min(MOST_TOKENS, max(pair)) for pair in zip(most, reach, strict=True))
    bounds = (*((name, most_input) for name in _OF_INPUT), *((name, most_output) for name in _OF_OUTPUT))
    over = {name: bound for name, bound in bounds if (getattr(usage, name) or 0) > bound}
    return replace(usage, **over) if over else usage


def _may_be_more(outcome: Outcome) -> bool:
    """Whether an estimate may fall far short: nothing is counted of a whole answer, which is made at once."""
    address = outcome.upstream_address
    whole = outcome.counted_output is None and 200 <= outcome.http_status < 400
    return outcome.given_up or whole or (address is not None and is_provider(address))


def settlement(note: SettlingNote, found: Used) -> Settlement:
    """The same, claim by claim."""
    read, made = found.usage.input_tokens or 0, found.usage.output_tokens or 0
    figures = (1, read, made, read + made, 1, found.nano)  # in the order of `Amount`
    amounts = tuple([_amount(claim, figures, found) for claim in note.hold.claims])
    return Settlement(note.hold, amounts, found.exact)


def _amount(claim: Claim, figures: tuple[int, ...], found: Used) -> int:
    """What counts in one claim; where any model may have answered, the budget of each pays what it holds.

    A request counts at the model that was tried first, and at the one that answered.
    """
    if claim.amount is Amount.REQUESTS and claim.held:
        return figures[claim.amount]
    if found.anywhere and isinstance(claim, BudgetClaim) and claim.model is not None and claim.hard:
        return claim.held
    return figures[claim.amount] if _is_of(claim, found.upstream_model) else 0


def _is_of(claim: Claim, model: str) -> bool:
    """Whether what this model has used counts in it."""
    return isinstance(claim, ConcurrentClaim) or claim.model in (None, model)


def of_failed_attempt(note: SettlingNote, number: int, address: str) -> tuple[SettlingNote, Used]:
    """What an attempt may cost that a provider took and did not answer: its input, as estimated; for a hard
    budget the most, since it may have thought.

    It is an entry of its own, that holds nothing and is no request more.
    """
    model, price = note.priced(address)
    usage = TokenUsage(note.input_tokens, 0)
    nano = 0 if price is None else price.cost(usage)
    found = Used(usage, max(nano, note.most_at(address)), model, exact=False)
    hold = note.hold
    counted = [
        place for place, claim in enumerate(hold.claims) if claim.amount in _PAID and _is_of(claim, model)
    ]
    claims = tuple([hold.claims[place]._replace(held=0) for place in counted])
    slots = tuple([hold.slots[place] for place in counted])
    return note._replace(hold=Hold(f"{hold.id}.{number}", claims, slots)), found


def nothing(note: SettlingNote) -> Used:
    """Of a request that was never sent."""
    return Used(_NOTHING, 0, note.priced(None)[0], exact=True)


def _usage(note: SettlingNote, outcome: Outcome) -> tuple[TokenUsage, bool]:
    usage = outcome.usage
    if usage.input_tokens is not None and usage.output_tokens is not None:
        return usage, True
    if not outcome.given_up and usage.input_tokens is None and usage.output_tokens is None:
        refused = outcome.http_status >= 400 and _LEFT_WAITING.isdisjoint(outcome.response_flags)
        if refused or outcome.unreachable:
            return _NOTHING, True
        if outcome.upstream_address is None and not outcome.http_status:
            return _NOTHING, True
    known_input = usage.input_tokens if usage.input_tokens is not None else note.input_tokens
    known_output = usage.output_tokens if usage.output_tokens is not None else outcome.counted_output or 0
    return replace(usage, input_tokens=known_input, output_tokens=known_output), False
