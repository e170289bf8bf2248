"""What placing and settling teach: requests in flight, who holds which prefix, who fails, tokens' size.

A placed request counts at once as if all went well, so that the next one sees it. Its outcome
corrects that: the endpoint that in fact served is the one that holds the prompt.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from pilotage_extproc.domain.decision import Target
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.prompt_blocks import PackedBlocks, root_of
from pilotage_extproc.scheduling.candidates import Knowledge
from pilotage_extproc.state.breakers import Circuit
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import Hold, InflightCounts
from pilotage_extproc.state.prefix_index import NOTHING_LEARNED, Learned

_SILENT_SCRAPES: Final = 3


class Placed(NamedTuple):
    """What settling a request needs to know of its placing."""

    hold: Hold
    targets: tuple[Target, ...]
    prompt: PackedBlocks | None
    """Without a model's root."""
    learned: Learned
    """What the first target's prefix index made of it."""


class Learner:
    """Keeps what decisions are based on beside the engines' own figures."""

    def __init__(
        self,
        table: EndpointTable,
        knowledge: Knowledge,
        inflight: InflightCounts,
        health: HealthLedger,
        calibration: TokenCalibration,
    ) -> None:
        self._table = table
        self._knowledge = knowledge
        self._health = health
        self.inflight = inflight
        self.calibration = calibration

    def placed(
        self,
        decision_id: str,
        targets: tuple[Target, ...],
        request: RequestFeatures,
        *,
        cached_tokens: float,
        now: float,
    ) -> Placed:
        """A request goes to the first target and counts there from now on."""
        first, knowledge = targets[0], self._knowledge
        row, prompt, learned, kept = first.row, request.prompt, NOTHING_LEARNED, None
        if prompt is not None:
            kept = prompt.packed()
            if prompt.hashes:
                of_model = prompt.of_model(root_of(first.upstream_model))
                learned = knowledge.prefixes.learn(row, of_model, request.bytes_per_token)
        if first.adapter:
            knowledge.adapters.placed(row, first.upstream_model)
        if request.session is not None:
            knowledge.sessions.placed(request.session, row, int(self._table.generation[row]))
        breakers = knowledge.breakers
        if breakers.open_count:
            breakers.tried(Circuit(first.pool), now)
            breakers.tried(Circuit(first.pool, first.upstream_model), now)
        tokens = max(0.0, request.prompt_tokens - cached_tokens)
        return Placed(self.inflight.begin(decision_id, row, now, tokens), targets, kept, learned)

    def settled(self, placed: Placed, outcome: Outcome, now: float, failed_at: Collection[str] = ()) -> None:
        """A request has ended, or was given up: it counts no longer, and what is known of its end teaches.

        What failed at these addresses has taught already.
        """
        self.inflight.end(placed.hold)
        if outcome.given_up:
            return
        first = placed.targets[0]
        if outcome.upstream_address == first.address and not failed_at and outcome.result == "ok":
            self._went_well(placed, first, outcome, now)
            return
        served = self._served(placed, outcome)
        self._judge(placed, served, outcome, now, failed_at)
        self._correct_prefix(placed, served, outcome)

    def _went_well(self, placed: Placed, first: Target, outcome: Outcome, now: float) -> None:
        """The first target answered, as it does mostly: what was learned of its prompt stays."""
        self._tell(first, now, ok=True)
        self._closes(first, placed.hold.began_at)
        tokens, prompt = outcome.usage.input_tokens, placed.prompt
        if tokens is not None and prompt is not None and prompt.all_text:
            self.calibration.observe(first.upstream_model, prompt.prompt_bytes, tokens)

    def forget(self, row: int) -> None:
        """The endpoint of a row is gone, or has restarted with empty caches."""
        knowledge = self._knowledge
        knowledge.prefixes.forget(row)
        knowledge.adapters.forget(row)

    def is_adapter(self, name: str) -> bool:
        """Whether an engine has called this name a LoRA adapter."""
        return self._knowledge.adapters.is_adapter(name)

    def size_cache(self, row: int, tokens: float) -> None:
        """The engine at a row holds so many tokens in its prefix cache."""
        self._knowledge.prefixes.size(row, tokens)

    def _served(self, placed: Placed, outcome: Outcome) -> int | None:
        """Which of the targets served, or None."""
        for position, target in enumerate(placed.targets):
            if target.address == outcome.upstream_address:
                return position
        return None

    def _judge(
        self,
        placed: Placed,
        served: int | None,
        outcome: Outcome,
        now: float,
        failed_at: Collection[str],
    ) -> None:
        failed = placed.targets[: outcome.attempts if outcome.upstream_address is None else 0]
        if served is not None and outcome.attempts > served:
            failed = placed.targets[:served]  # fewer attempts: some were passed over, nobody knows which
        if outcome.upstream_address is None and not outcome.unreachable:
            failed = ()
        result = outcome.result
        if result == "server_error" and outcome.attempts > 1 and not outcome.unreachable:
            return  # every server that was asked answered it with an error: the request may be what is wrong
        for target in failed:
            if target.address not in failed_at:
                self._tell(target, now, ok=False)
        if served is not None:
            last = placed.targets[served]
            if result in ("server_error", "truncated"):
                if last.address not in failed_at:
                    self._tell(last, now, ok=False)
            elif result != "client_gone" and last.address not in failed_at:
                self._tell(last, now, ok=True)
                if result == "ok":
                    self._closes(last, placed.hold.began_at)
            elif outcome.ttft_seconds is None and self._table.failures[last.row] >= _SILENT_SCRAPES:
                # the client gave up waiting for one that does not answer its scrapes either
                self._tell(last, now, ok=False)

    def _closes(self, target: Target, began_at: float) -> None:
        breakers = self._knowledge.breakers
        if breakers.troubled:
            breakers.succeeded(Circuit(target.pool), began_at)
            breakers.succeeded(Circuit(target.pool, target.upstream_model), began_at)

    def _tell(self, target: Target, now: float, *, ok: bool) -> None:
        if self._table.row_of(target.address) != target.row:
            return
        if ok:
            self._health.succeeded(target.row)
        else:
            self._health.failed(target.row, now)

    def _correct_prefix(self, placed: Placed, served: int | None, outcome: Outcome) -> None:
        if placed.prompt is None:
            return
        packed, first, hold = placed.prompt, placed.targets[0], placed.hold
        prefixes = self._knowledge.prefixes
        computed = served is not None and 0 < outcome.status < 400
        if served != 0 or not computed:
            prompt = packed.blocks()
            if self._table.generation[hold.row] == hold.generation:
                prefixes.unlearn(hold.row, prompt.of_model(root_of(first.upstream_model)), placed.learned)
            if served and computed:
                target = placed.targets[served]
                if self._table.row_of(target.address) == target.row:
                    model = target.upstream_model
                    ratio = self.calibration.bytes_per_token(model)
                    prefixes.learn(target.row, prompt.of_model(root_of(model)), ratio)
        tokens = outcome.usage.input_tokens
        if computed and served is not None and tokens is not None and packed.all_text:
            self.calibration.observe(placed.targets[served].upstream_model, packed.prompt_bytes, tokens)
