"""One request, from its head to its settlement: the object that every stage works on."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.dialects.document import NO_DOCUMENT, Document
from pilotage_extproc.dialects.stream_usage import AddedUsage, UsageEdit
from pilotage_extproc.domain.decision import Decision
from pilotage_extproc.domain.features import NO_FEATURES, RequestFeatures
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.domain.identity import ANONYMOUS, Identity
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.request.attempt import Attempt
from pilotage_extproc.request.call import Call
from pilotage_extproc.request.handled import Handled
from pilotage_extproc.request.limits import USUAL, AttemptLimits
from pilotage_extproc.request.plan import NO_PLAN, Plan
from pilotage_extproc.request.shaping import Shapings
from pilotage_extproc.request.stage import FeatureKey, Stage
from pilotage_extproc.request.trial import Trial
from pilotage_extproc.scheduling.objective_choice import Choice
from pilotage_extproc.scheduling.route import Route
from pilotage_extproc.scheduling.scheduler import Ranking

log = logging.getLogger(__name__)

_GONE_HEAD: Final = RequestHead("", "", {})
_UNREAD: Final = Call(CallKind.OTHER, "", "")
_UNDECIDED: Final = Decision("", (), "", None, None, "", 0.0)

T = TypeVar("T")
Patience = Callable[[float], Awaitable[None]]
"""Asks the gateway to wait so many seconds longer for a decision."""


class Note(Generic[T]):
    """The key of what one stage keeps in an exchange between its `apply` and its `finish`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Exchange:
    """One request. It is changed by the methods below alone, in the order they stand.

    From the pick on it holds no body, document or prompt text (`release`): streams may be open for hours.
    """

    __slots__ = (
        "_arrived",
        "_begun",
        "_finished",
        "_learned",
        "_notes",
        "_patience",
        "_ranking",
        "_route",
        "answer",
        "attempts",
        "body",
        "cache_salt",
        "call",
        "choice",
        "conversation",
        "decision",
        "document",
        "failed_at",
        "features",
        "fixed_address",
        "handled",
        "head",
        "identity",
        "limits",
        "new_body",
        "outcome",
        "output_counted",
        "plan",
        "queued_seconds",
        "received_at",
        "shapings",
        "skipped",
        "snapshot_version",
        "transformed_bytes",
        "transformed_each",
        "trials",
        "usage_added",
        "usage_edit",
    )

    def __init__(self, head: RequestHead) -> None:  # noqa: PLR0915 - all that is known of it
        self.head = head
        self.received_at = head.received_at
        self.call = _UNREAD
        self.body = b""
        self._arrived: bytes | None = None
        """Whether the body is not the client's any more."""
        self.handled: tuple[Handled, ...] = ()
        """What rules on content found in it."""
        self.answer: AnswerWork | None = None
        """What its policy asks of its answer: until the pick, whose stream takes it along."""
        self.document = NO_DOCUMENT
        self.identity = ANONYMOUS
        self.cache_salt: str | None = None
        """What its prompt is kept apart by in engines' caches, where its policy says so."""
        self.fixed_address: str | None = None
        """The one server that can answer, of calls on what it has stored."""
        self._route: Route | None = None
        self.plan = NO_PLAN
        self.snapshot_version = ""
        self.trials: tuple[Trial, ...] = ()
        """The rules that were tried, in order."""
        self.features = NO_FEATURES
        self._ranking: Ranking | None = None
        self.decision = _UNDECIDED
        self.queued_seconds: float | None = None
        """How long it has waited for room; None where it did not have to."""
        self.choice: Choice | None = None
        """What its decision by an objective was made of; until the pick."""
        self.conversation: int | None = None
        """Digest of its conversation, where its rule keeps conversations with their model."""
        """What keeps its answer within the chosen output budget."""
        self.new_body: bytes | None = None
        """The body as the first attempt gets it; None where it goes on unchanged."""
        self.limits = USUAL
        """What its attempts may take, and which failures lead to the next."""
        self.usage_edit = UsageEdit.NONE
        """How that body was made to ask for usage."""
        self.usage_added = AddedUsage.NONE
        """What of it any of its attempts may bring that the client did not ask for: Envoy takes that out."""
        self.output_counted = False
        """Whether Envoy counts the pieces of its answer."""
        self.attempts: tuple[Attempt, ...] = ()
        """One for each target of the decision, where they differ in how they are spoken to; else none."""
        self.shapings: Shapings = ()
        """What its policy changes for each target; until the pick."""
        self.transformed_bytes = 0
        """Of the largest body that an attempt may get, where its policy changes requests; else 0."""
        self.transformed_each = False
        """Whether each attempt is transformed on its own: then the first attempt's body is not yet."""
        self.failed_at: tuple[str, ...] = ()
        """Addresses whose failure is known, and was learned from, before its end."""
        self.skipped: tuple[str, ...] = ()
        """`step: why` of optional steps that did not count."""
        self.outcome: Outcome | None = None
        self._begun: tuple[Stage, ...] = ()
        self._learned: dict[FeatureKey, object] | None = None
        self._notes: dict[Note[Any], Any] | None = None
        self._finished = False
        self._patience: Patience | None = None

    @property
    def route(self) -> Route:
        """Where its rule lets it go; once it has been routed."""
        if self._route is None:
            raise LookupError("the request has not been routed")
        return self._route

    @property
    def ranking(self) -> Ranking:
        """What its decision was made of; from then until the pick."""
        if self._ranking is None:
            raise LookupError("the request has not been decided, or is open since")
        return self._ranking

    # its way, in order

    def recognised(self, call: Call) -> None:
        """The head has been read."""
        self.call = call

    def identified(self, identity: Identity) -> None:
        """Who asks is known."""
        self.identity = identity

    def received(self, body: bytes) -> None:
        """The whole body is there."""
        self.body = body

    def read(self, document: Document) -> None:
        """The body has been parsed."""
        self.document = document

    def unread(self) -> None:
        """The parsed body is dropped: it is many times its size while the request waits."""
        self.document = NO_DOCUMENT

    def may_wait(self, patience: Patience) -> None:
        """Its gateway can be asked for patience."""
        self._patience = patience

    async def ask_patience(self, seconds: float) -> None:
        """It may be decided only after so many seconds: its gateway is told, once."""
        patience, self._patience = self._patience, None
        if patience is not None:
            await patience(seconds)

    def rewritten(self, body: bytes, document: Document) -> None:
        """Its policy lets it go on with another body; the one that arrived is kept in case it has to wait."""
        if self._arrived is None:
            self._arrived = self.body
        self.body = body
        self.document = document

    @property
    def altered(self) -> bool:
        """Whether its policy lets it go on with another body than the one that arrived."""
        return self._arrived is not None

    def checked(self, handled: tuple[Handled, ...]) -> None:
        """Rules on content have been kept."""
        self.handled = handled

    def answered_by(self, work: AnswerWork | None) -> None:
        """What is to be done about its answer."""
        self.answer = work

    def bound_to(self, address: str) -> None:
        """Only this server can answer."""
        self.fixed_address = address

    def routed(self, route: Route, plan: Plan, snapshot_version: str, trials: tuple[Trial, ...] = ()) -> None:
        """A rule has won, of this version of the snapshot: from now on the request may be edited."""
        self._route = route
        self.plan = plan
        self.snapshot_version = snapshot_version
        self.trials = trials

    def diverted(self, route: Route, plan: Plan) -> None:
        """Its candidates are others than those of its rule: a budget is spent."""
        self._route = route
        self.plan = plan

    def learned(self, feature: FeatureKey, value: object) -> None:
        """A stage has found out a feature."""
        if self._learned is None:
            self._learned = {}
        self._learned[feature] = value

    def known(self, feature: FeatureKey, otherwise: object) -> object:
        """A feature that a stage has found out."""
        return otherwise if self._learned is None else self._learned.get(feature, otherwise)

    def all_learned(self) -> Mapping[FeatureKey, object]:
        """Every feature that stages have found out; until the pick."""
        return {} if self._learned is None else self._learned

    def described(self, features: RequestFeatures) -> None:
        """What scheduling may know of it has been computed."""
        self.features = features

    def bounded(self, limits: AttemptLimits) -> None:
        """How far its attempts may go has been settled."""
        self.limits = limits

    def decided(self, ranking: Ranking, decision: Decision) -> None:
        """Where it goes, in order."""
        self._ranking = ranking
        self.decision = decision

    def isolated(self, salt: str | None) -> None:
        """Its prompt is to be cached apart; None leaves that to the client."""
        self.cache_salt = salt

    def narrowed(self, kept: Sequence[int]) -> None:
        """Only these of its attempts stay, by their place in the list."""
        targets, order = self.decision.targets, self.ranking.order
        self.decision = replace(self.decision, targets=tuple([targets[place] for place in kept]))
        self._ranking = replace(self.ranking, order=[order[place] for place in kept])

    def undecided(self) -> None:
        """It has waited: what was decided before holds no longer, and policies look at what arrived again."""
        if self._arrived is not None:
            self.body, self._arrived = self._arrived, None
        self.handled = ()
        self._ranking = None
        self.decision = _UNDECIDED
        self.choice = None
        self.new_body = None
        self.attempts = ()
        self.answer = None
        self.shapings = ()

    def queued(self, seconds: float) -> None:
        """It has waited so long for room, and goes."""
        self.queued_seconds = seconds

    def chosen(self, choice: Choice, conversation: int | None) -> None:
        """Why it goes there, by its rule's objective."""
        self.choice = choice
        self.conversation = conversation

    def prepared(
        self,
        body: bytes | None,
        usage_edit: UsageEdit,
        attempts: tuple[Attempt, ...],
        *,
        usage_added: AddedUsage = AddedUsage.NONE,
        transformed_each: bool = False,
        transformed_bytes: int = 0,
        shapings: Shapings = (),
    ) -> None:
        """What changes in it for the first attempt, and what tells the others from it."""
        self.new_body = body
        self.usage_edit = usage_edit
        self.usage_added = usage_added
        self.attempts = attempts
        self.transformed_each = transformed_each
        self.transformed_bytes = transformed_bytes
        self.shapings = shapings

    def attempt_failed(self, address: str) -> None:
        """An attempt there has failed; another may follow."""
        self.failed_at += (address,)

    def unretried(self, pools: Iterable[str]) -> None:
        """Retries at these pools (`namespace/name`) are left out of its list."""
        for pool in pools:
            self.skip("retry", f"the budget of {pool} is spent")

    def count_output(self) -> None:
        """Its output is to be counted as it passes, should its usage never be said."""
        self.output_counted = True

    def clamped(self, body: bytes) -> None:
        """Its output has been bounded, in the body of the first attempt and so of all."""
        self.new_body = body

    def skip(self, step: str, why: str) -> None:
        """An optional step did not count."""
        self.skipped += (f"{step}: {why}",)

    def release(self) -> None:
        """The pick is on its way: forget all that is large or the client's own text."""
        self.head = _GONE_HEAD
        self.call = _UNREAD
        self.body = b""
        self._arrived = None
        self.answer = None
        self.document = NO_DOCUMENT
        self.features = NO_FEATURES
        self._ranking = None
        self.choice = None
        self.new_body = None
        self.attempts = ()
        self.shapings = ()
        self.plan = NO_PLAN
        self.trials = ()
        self._learned = None
        self._patience = None

    # what stages keep, and how they end

    def keep(self, note: Note[T], value: T) -> None:
        """Keep something of a stage until the request has ended."""
        if self._notes is None:
            self._notes = {}
        self._notes[note] = value

    def kept(self, note: Note[T]) -> T | None:
        """What a stage kept, or None."""
        found: T | None = None if self._notes is None else self._notes.get(note)
        return found

    def begin(self, stage: Stage) -> None:
        """A stage is about to be applied; `finish` will reach it."""
        self._begun += (stage,)

    @property
    def finished(self) -> bool:
        """Whether it has ended, as far as anyone knows."""
        return self._finished

    def finish(self, outcome: Outcome) -> None:
        """End it: once, in reverse order, each stage whose `apply` began. Nothing of a stage escapes."""
        if self._finished:
            return
        self._finished = True
        self.outcome = outcome
        for stage in reversed(self._begun):
            try:
                stage.finish(self, outcome)
            except Exception:
                log.exception("a stage failed to finish", extra={"stage": stage.name})

    def amend(self, outcome: Outcome) -> None:
        """Settle it after all: it had been given up, and its outcome has come."""
        self.outcome = outcome
        for stage in reversed(self._begun):
            try:
                stage.amend(self, outcome)
            except Exception:
                log.exception("a stage failed to take a late outcome", extra={"stage": stage.name})
