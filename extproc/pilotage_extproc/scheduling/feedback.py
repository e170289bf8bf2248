"""What placing and settling teach: requests in flight, who holds which prefix, who fails, tokens' size.

A placed request counts at once as if all went well, so that the next one sees it. Its outcome
corrects that: the endpoint that in fact served is the one that holds the prompt.
"""

from dataclasses import dataclass
from typing import Final

from pilotage_extproc.domain.decision import Decision, Target
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.prompt_blocks import PromptBlocks, root_of
from pilotage_extproc.scheduling.candidates import Knowledge
from pilotage_extproc.state.calibration import TokenCalibration
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.inflight import InFlight, InflightLedger
from pilotage_extproc.state.prefix_index import NOTHING_LEARNED, Learned

_SILENT_SCRAPES: Final = 3


@dataclass(slots=True, frozen=True)
class Placed:
    """What settling a request needs to know of its placing."""

    targets: tuple[Target, ...]
    prompt: PromptBlocks | None
    """Without a model's root."""
    learned: Learned
    """What the first target's prefix index made of it."""


class Learner:
    """Keeps what decisions are based on beside the engines' own figures."""

    def __init__(
        self,
        table: EndpointTable,
        knowledge: Knowledge,
        ledger: InflightLedger[Placed],
        health: HealthLedger,
        calibration: TokenCalibration,
    ) -> None:
        self._table = table
        self._knowledge = knowledge
        self._health = health
        self.ledger = ledger
        self.calibration = calibration

    def placed(self, decision: Decision, request: RequestFeatures, cached_tokens: float) -> None:
        """A request goes to the decision's first target and counts there from now on."""
        first, knowledge = decision.targets[0], self._knowledge
        row, prompt, learned = first.row, request.prompt, NOTHING_LEARNED
        if prompt is not None and prompt.hashes:
            of_model = prompt.of_model(root_of(first.upstream_model))
            learned = knowledge.prefixes.learn(row, of_model, request.bytes_per_token)
        if first.adapter:
            knowledge.adapters.placed(row, first.upstream_model)
        if request.session is not None:
            knowledge.sessions.placed(request.session, row, int(self._table.generation[row]))
        self.ledger.begin(
            decision.id,
            row,
            decision.decided_at,
            tokens=max(0.0, request.prompt_tokens - cached_tokens),
            note=Placed(decision.targets, prompt, learned),
        )

    def settled(self, outcome: Outcome, now: float) -> bool:
        """A request has ended; False when it is not (or no longer) counted."""
        entry = self.ledger.settle(outcome.decision_id)
        if entry is None:
            return False
        note = entry.note
        if note is not None:
            served = self._served(note, outcome)
            self._judge(note, served, outcome, now)
            self._correct_prefix(entry, note, served, outcome)
        return True

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

    def _served(self, note: Placed, outcome: Outcome) -> int | None:
        """Which of the targets served, or None."""
        for position, target in enumerate(note.targets):
            if target.address == outcome.upstream_address:
                return position
        return None

    def _judge(self, note: Placed, served: int | None, outcome: Outcome, now: float) -> None:
        failed = note.targets[: outcome.attempts if outcome.upstream_address is None else 0]
        if served is not None and outcome.attempts > served:
            failed = note.targets[:served]  # fewer attempts: some were passed over, nobody knows which
        if outcome.upstream_address is None and not outcome.unreachable:
            failed = ()
        result = outcome.result
        if result == "server_error" and outcome.attempts > 1 and not outcome.unreachable:
            return  # every server that was asked answered it with an error: the request may be what is wrong
        for target in failed:
            self._tell(target, now, ok=False)
        if served is not None:
            last = note.targets[served]
            if result in ("server_error", "truncated"):
                self._tell(last, now, ok=False)
            elif result != "client_gone":
                self._tell(last, now, ok=True)
            elif outcome.ttft_seconds is None and self._table.failures[last.row] >= _SILENT_SCRAPES:
                # the client gave up waiting for one that does not answer its scrapes either
                self._tell(last, now, ok=False)

    def _tell(self, target: Target, now: float, *, ok: bool) -> None:
        if self._table.row_of(target.address) != target.row:
            return
        if ok:
            self._health.succeeded(target.row)
        else:
            self._health.failed(target.row, now)

    def _correct_prefix(
        self, entry: InFlight[Placed], note: Placed, served: int | None, outcome: Outcome
    ) -> None:
        prompt, first = note.prompt, note.targets[0]
        if prompt is None:
            return
        prefixes = self._knowledge.prefixes
        computed = served is not None and 0 < outcome.http_status < 400
        if served != 0 or not computed:
            if self._table.generation[entry.row] == entry.generation:
                prefixes.unlearn(entry.row, prompt.of_model(root_of(first.upstream_model)), note.learned)
            if served and computed:
                target = note.targets[served]
                if self._table.row_of(target.address) == target.row:
                    model = target.upstream_model
                    ratio = self.calibration.bytes_per_token(model)
                    prefixes.learn(target.row, prompt.of_model(root_of(model)), ratio)
        tokens = outcome.usage.input_tokens
        if computed and served is not None and tokens is not None:
            self.calibration.observe(note.targets[served].upstream_model, prompt.prompt_bytes, tokens)
