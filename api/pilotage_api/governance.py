"""What a policy bounds: limits of what is used, and budgets in money."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from pilotage_api.content_rules import Content
from pilotage_api.governance_snapshot import BudgetLimitSnapshot, Per, RateLimitSnapshot
from pilotage_api.model_facts import Money
from pilotage_api.resource import (
    Block,
    ModelName,
    Problem,
    ReservedObject,
    cel,
    unique_by,
)
from pilotage_api.scheduling import Duration, Share, seconds
from pilotage_api.time_zones import TimeZone, time_zone_problem
from pilotage_api.tool_rules import ToolRule

Party = Literal["policy", "tenant", "team", "key", "user", "model"]
Bound = Annotated[int, Field(ge=1, le=1_000_000_000_000, strict=True)]

_WINDOWED: Final = ("requests", "inputTokens", "outputTokens", "totalTokens")
NO_BOUND: Final = "a limit bounds something: requests, inputTokens, outputTokens, totalTokens or concurrent"
WINDOW_MISSING: Final = "requests and tokens are bounded in a window"
WINDOW_UNUSED: Final = "concurrent alone has no window"
WINDOW_LENGTH: Final = "a window lasts from 1s to 24h"
ONLY_SOFT: Final = "whenSpent is for soft budgets: a hard one refuses"
NOT_PER_MODEL: Final = "whenSpent goes to other models: it is not for a budget of each model"
MOST_DOLLARS: Final = "a budget is above 0 and at most 9000000 dollars"


class RateLimit(Block):
    """What each party may use in any window of time, and at one time."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (" || ".join(f"has(self.{name})" for name in (*_WINDOWED, "concurrent")), NO_BOUND),
            (
                f"has(self.window) || !({' || '.join(f'has(self.{name})' for name in _WINDOWED)})",
                WINDOW_MISSING,
            ),
            (
                f"!has(self.window) || {' || '.join(f'has(self.{name})' for name in _WINDOWED)}",
                WINDOW_UNUSED,
            ),
        )
    )

    per: Party
    """What is counted by itself: each `tenant`, `team`, `key`, `user` or `model`, or the `policy` as a
    whole. Requests of nobody known count together."""
    window: Duration | None = None
    """Length of the window that requests and tokens are counted in, `1s` to `24h`. It slides in 100 slots."""
    requests: Bound | None = None
    """Requests in a window."""
    input_tokens: Bound | None = None
    """Tokens of prompts in a window."""
    output_tokens: Bound | None = None
    """Tokens of answers in a window; each request holds the most it may make until it has ended."""
    total_tokens: Bound | None = None
    """Both together."""
    concurrent: Bound | None = None
    """Requests at one time."""

    def problems(self) -> Iterable[Problem]:
        """A limit that bounds nothing, and a window too many or too few."""
        windowed = any(
            one is not None
            for one in (self.requests, self.input_tokens, self.output_tokens, self.total_tokens)
        )
        if not windowed and self.concurrent is None:
            yield Problem("missing-field", "", NO_BOUND, "add one of them")
        elif windowed and self.window is None:
            yield Problem("missing-field", "window", WINDOW_MISSING, "add window, such as 1m")
        elif self.window is not None and not windowed:
            yield Problem("no-effect", "window", WINDOW_UNUSED, "remove it, or bound requests or tokens")
        if self.window is not None and not 1.0 <= seconds(self.window) <= 86_400.0:
            yield Problem("invalid-value", "window", WINDOW_LENGTH, "write a length such as 1m")

    def snapshot(self) -> RateLimitSnapshot:
        """What extproc needs of it."""
        return RateLimitSnapshot(
            per=Per(self.per),
            window_seconds=None if self.window is None else seconds(self.window),
            requests=self.requests,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            total_tokens=self.total_tokens,
            concurrent=self.concurrent,
        )


class SpentCandidate(Block):
    """A model that requests go to when a budget is spent."""

    model: ModelName
    """A model, alias or adapter of a pool this policy may use."""


class WhenSpent(Block):
    """What becomes of requests when a soft budget is spent."""

    candidates: list[SpentCandidate] = Field(
        min_length=1, max_length=16, json_schema_extra=unique_by("model")
    )
    """They are tried in order, instead of those of the rule."""


class BudgetLimit(Block):
    """Money that each party may spend in a period of the calendar."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("!has(self.whenSpent) || self.mode == 'soft'", ONLY_SOFT),
            ("!has(self.whenSpent) || self.per != 'model'", NOT_PER_MODEL),
            ("double(self.usd) > 0.0 && double(self.usd) <= 9000000.0", MOST_DOLLARS),
        )
    )

    per: Party
    """Who has one: each `tenant`, `team`, `key`, `user` or `model`, or the `policy` as a whole."""
    period: Literal["hour", "day", "week", "month"]
    """When it is full again. Weeks begin on Monday."""
    time_zone: TimeZone = "UTC"
    """Where its days begin: an IANA name, such as `Europe/Berlin`."""
    usd: Money
    """US dollars, as decimal text: `"500"`, at most `"9000000"`."""
    mode: Literal["hard", "soft"]
    """`hard` is never overdrawn: each request holds the most it can cost. `soft` counts what was spent."""
    alert_at: list[Share] = Field(
        default=[], max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """Shares of it that raise an alert when they are spent: `["0.8", "1"]`."""
    when_spent: WhenSpent | None = None
    """For a soft budget: where requests go when it is spent. Without it they go on as before."""

    def problems(self) -> Iterable[Problem]:
        """An amount that cannot be counted, an unknown time zone, an alternative never used."""
        if not 0 < float(self.usd) <= 9_000_000:
            yield Problem("invalid-value", "usd", MOST_DOLLARS, 'write an amount such as "500"')
        if self.when_spent is not None and self.per == "model":
            yield Problem("invalid-value", "per", NOT_PER_MODEL, "count per policy, or remove whenSpent")
        wrong = time_zone_problem(self.time_zone)
        if wrong is not None:
            yield Problem("invalid-value", "timeZone", "no time zone of this name", wrong)
        if self.when_spent is not None and self.mode == "hard":
            yield Problem("invalid-value", "whenSpent", ONLY_SOFT, "remove it, or set mode: soft")

    def snapshot(self, instead: int | None) -> BudgetLimitSnapshot:
        """What extproc needs of it."""
        return BudgetLimitSnapshot(
            per=Per(self.per),
            period=self.period,
            time_zone=self.time_zone,
            usd=self.usd,
            hard=self.mode == "hard",
            alert_at=tuple(self.alert_at),
            instead=instead,
        )


class Governance(Block):
    """What a policy bounds and forbids."""

    tools: list[ToolRule] = Field(default=[], max_length=16)
    """Which tools may be offered to the model; all that hold count."""
    content: Content | None = None
    """What may stand in requests and answers."""
    limits: list[RateLimit] = Field(default=[], max_length=16)
    """Requests, tokens and concurrency; all hold."""
    budgets: list[BudgetLimit] = Field(default=[], max_length=8)
    """Money; all hold."""
    kv_isolation: Literal["tenant"] | None = None
    """`tenant`: prompts of different tenants share no prefix cache (docs/tenants.md)."""
    records: ReservedObject
    """What decision records may keep."""
