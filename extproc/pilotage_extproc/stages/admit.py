"""Limits and budgets: what a request may use is held before it is sent, and settled when it has ended."""

from asyncio import CancelledError
from collections.abc import Awaitable
from typing import Final

from pilotage_extproc.accounting.answers import refusal
from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.claims import Claim, Granted, Hold, Refused, Verdict
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.prices import PriceBook, Terms
from pilotage_extproc.accounting.rules import Expected, SpendingRules
from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.accounting.tenant_rules import RulesOfCaller
from pilotage_extproc.dialects.output_budget import limit_of
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.choices import likely_choices
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.prompt_tokens import expected_input
from pilotage_extproc.request.shaping import limit_sent
from pilotage_extproc.request.stage import Step
from pilotage_extproc.request.token_bounds import MOST_COST

UNBOUNDED_OUTPUT_TOKENS: Final = 4096
"""Held of an answer that neither its client nor its model bounds."""
_RETRY_SECONDS: Final = 1
_ADMITTED: Final = Note[SettlingNote]("admitted")
COUNTED: Final = Note[tuple[tuple[Claim, ...], tuple[int, ...]]]("counted")
"""Its claims and what their windows counted then, where there are limits."""
_NO_TOKENS: Final = Expected(0, 0, 0)


class Admit(Step):
    """Claims all limits and budgets of a policy and a tenant at once."""

    name = "admit"
    settles = True

    def __init__(
        self,
        rules: RulesOfCaller,
        books: Books,
        prices: PriceBook,
        clamp_at: int | None,
    ) -> None:
        self._rules = rules
        self._books = books
        self._prices = prices
        self._clamp_at = clamp_at

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Hold what it claims. Raises RequestRefused: 429 where it does not fit, 503 without a store."""
        note = self._note(exchange)
        try:
            verdict = self._books.admit(note)
        except StoreAway as away:
            self._away(exchange, note, away)
            return None
        if isinstance(verdict, Awaitable):
            return self._wait(exchange, note, verdict)
        self._take(exchange, note, verdict)
        return None

    def finish(self, exchange: Exchange, outcome: Outcome) -> None:
        """Settle it, or give back what it holds where it was never sent."""
        note = exchange.kept(_ADMITTED)
        if note is None:
            return
        if outcome.decision_id:
            self._books.settle(note, outcome)
        else:
            self._books.cancel(note)

    def amend(self, exchange: Exchange, outcome: Outcome) -> None:
        """What was an estimate is known now."""
        self.finish(exchange, outcome)

    async def _wait(self, exchange: Exchange, note: SettlingNote, verdict: Awaitable[Verdict]) -> None:
        try:
            found = await verdict
        except StoreAway as away:
            if note.hold.claims:
                self._books.cancel(note)  # it may have been granted all the same
            self._away(exchange, note, away)
            return
        except (CancelledError, GeneratorExit):
            self._books.cancel(note)
            raise
        self._take(exchange, note, found)

    def _take(self, exchange: Exchange, note: SettlingNote, verdict: Verdict) -> None:
        if isinstance(verdict, Refused):
            raise refusal(verdict)
        claims = note.hold.claims
        granted = note._replace(hold=note.hold._replace(slots=verdict.slots))
        exchange.keep(_ADMITTED, granted)
        rules = self._rules.of(exchange.identity)
        if rules.limits:
            exchange.keep(COUNTED, (claims, verdict.used))
        if rules.reads_tokens:
            exchange.count_output()
        self._books.admitted(granted)

    def _away(self, exchange: Exchange, note: SettlingNote, away: StoreAway) -> None:
        if not note.hold.claims:  # nothing bounds it: it is settled when the store is back
            self._take(exchange, note, Granted((), ()))
            return
        if not self._books.serves_without or self._rules.of(exchange.identity).hard:
            message = "Limits and budgets cannot be checked now."
            raise RequestRefused(Refusal.LIMITS_AWAY, message, retry_after_seconds=_RETRY_SECONDS) from away
        exchange.skip(self.name, str(away))

    def _note(self, exchange: Exchange) -> SettlingNote:
        decision, identity = exchange.decision, exchange.identity
        rules, targets = self._rules.of(identity), decision.targets
        terms = self._prices.terms(exchange.snapshot_version, exchange.route.pools, targets)
        billed = DIALECTS[exchange.call.kind].is_billed
        prices = tuple(
            [
                (one.address, one.upstream_model, price if billed else None)
                for one, price in zip(targets, terms.prices, strict=True)
            ]
        )
        expected = self._expected(exchange, terms, rules)
        models = [one.upstream_model for one in targets]
        claims = rules.claims(identity, models, expected, self._books.utc_now())
        spender = Spender(*identity, decision.policy or "", decision.model)
        most = exchange.kept(MOST_COST) if rules.hard else None
        hold = Hold(decision.id, tuple(claims), ())
        if most is None:
            return SettlingNote(hold, spender, prices, expected.input_tokens)
        return SettlingNote(hold, spender, prices, expected.input_tokens, most.tokens, most.reach)

    def _expected(self, exchange: Exchange, terms: Terms, rules: SpendingRules) -> Expected:
        if not rules.reads_tokens or not DIALECTS[exchange.call.kind].is_billed:
            return _NO_TOKENS
        most = exchange.kept(MOST_COST)
        if most is not None:  # what it may make has been found out
            return Expected(expected_input(exchange), most.tokens[1], most.nano, most.by_model)
        choices = likely_choices(DIALECTS[exchange.call.kind], exchange.document.members)
        return Expected(expected_input(exchange), choices * self._expected_output(exchange, terms), 0)

    def _expected_output(self, exchange: Exchange, terms: Terms) -> int:
        """The most that the client or the model lets a choice have; of one without a bound a guess."""
        dialect = DIALECTS[exchange.call.kind]
        if not dialect.output_limits:
            return 0
        # servers read a limit of 0 or less as none
        own = limit_sent(exchange.shapings, limit_of(exchange.call.kind, exchange.document.members))
        most = terms.output_bound(self._clamp_at)
        bounds = [one for one in (own, most) if one is not None]
        return min(bounds) if bounds else UNBOUNDED_OUTPUT_TOKENS
