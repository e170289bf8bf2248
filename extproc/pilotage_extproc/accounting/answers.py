"""What a client is told whose request does not fit: words, and headers as the SDKs read them."""

from collections.abc import Mapping, Sequence
from math import ceil
from types import MappingProxyType
from typing import Final

from pilotage_extproc.accounting.claims import Amount, BudgetClaim, Claim, Refused, WindowClaim
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_WORDS: Final[Mapping[Amount, str]] = MappingProxyType(
    {
        Amount.REQUESTS: "requests",
        Amount.INPUT_TOKENS: "input tokens",
        Amount.OUTPUT_TOKENS: "output tokens",
        Amount.TOTAL_TOKENS: "tokens",
        Amount.CONCURRENT: "requests at one time",
    }
)
_LONGEST_WAIT_SECONDS: Final = 60.0
"""OpenAI's and Anthropic's clients wait no longer than this for a header's sake."""


RATE_LIMIT_HEADERS: Final = tuple(
    f"x-ratelimit-{what}-{kind}"
    for kind in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)


def rate_limits(claims: Sequence[Claim], used: Sequence[int]) -> dict[str, str]:
    """Headers of an admitted request: of its limits the one that leaves least, for requests and for tokens.

    `used` is what each window counts now. A limit is as new after the length of its window.
    """
    least: dict[str, tuple[int, WindowClaim]] = {}
    for claim, so_far in zip(claims, used, strict=False):
        if isinstance(claim, WindowClaim):
            kind = "requests" if claim.amount is Amount.REQUESTS else "tokens"
            left = max(0, claim.bound - so_far)
            if kind not in least or left < least[kind][0]:
                least[kind] = (left, claim)
    headers: dict[str, str] = {}
    for kind, (left, claim) in least.items():
        headers[f"x-ratelimit-limit-{kind}"] = str(claim.bound)
        headers[f"x-ratelimit-remaining-{kind}"] = str(left)
        headers[f"x-ratelimit-reset-{kind}"] = _go_duration(claim.window_ms / 1000)
    return headers


def refusal(refused: Refused) -> RequestRefused:
    """The 429 of a claim that does not fit."""
    claim, wait = refused.claim, refused.retry_after_seconds
    headers: dict[str, str] = {}
    if wait is None or wait > _LONGEST_WAIT_SECONDS:
        headers["x-should-retry"] = "false"
    if wait is not None:
        headers["retry-after-ms"] = str(max(1, ceil(wait * 1000)))
    reason = Refusal.BUDGET_SPENT if isinstance(claim, BudgetClaim) else Refusal.RATE_LIMITED
    if not isinstance(claim, BudgetClaim):
        kind = "requests" if claim.amount in (Amount.REQUESTS, Amount.CONCURRENT) else "tokens"
        headers[f"x-ratelimit-limit-{kind}"] = str(claim.bound)
        headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, claim.bound - refused.used))
        headers[f"x-ratelimit-reset-{kind}"] = _go_duration(wait)
    return RequestRefused(
        reason,
        _message(refused),
        retry_after_seconds=None if wait is None else max(1, ceil(wait)),
        more_headers=headers,
    )


def _message(refused: Refused) -> str:
    """It names the bound, and no other party."""
    claim = refused.claim
    if isinstance(claim, BudgetClaim):
        if claim.held > claim.bound:
            return "This request could cost more than the whole budget: ask for fewer output tokens."
        if refused.retry_after_seconds is not None:
            return "The budget is held by requests under way."
        return "The budget of this period is spent."
    what = _WORDS[claim.amount]
    if claim.held > claim.bound:
        return f"This request needs {claim.held} {what}, more than the limit of {claim.bound} there is."
    if isinstance(claim, WindowClaim):
        seconds = claim.window_ms / 1000
        return f"Rate limit reached: {claim.bound} {what} in {seconds:g} s; {refused.used} are used or held."
    return f"Rate limit reached: {claim.bound} {what}."


def _go_duration(seconds: float | None) -> str:
    """As OpenAI writes it: `1s`, `6m0s`; a day where nothing is known."""
    whole = 86_400 if seconds is None else ceil(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
