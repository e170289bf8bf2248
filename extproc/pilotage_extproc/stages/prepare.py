"""What changes in a request for its first attempt, and again for each later one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from pilotage_api.external_snapshot import ProviderDialect
from pilotage_api.snapshot import StreamUsage
from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.document import Document
from pilotage_extproc.dialects.forms import Form, read_form, text_added, text_set
from pilotage_extproc.dialects.output_budget import OutputBudget
from pilotage_extproc.dialects.splice import (
    CACHE_SALT,
    MODEL,
    Edit,
    check_single,
    edited,
    members_added,
    string_set,
    value_start,
)
from pilotage_extproc.dialects.stream_usage import (
    AddedUsage,
    UsageEdit,
    added_usage,
    usage_asked,
    usage_unasked,
)
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.transform.long_call_ids import LONGEST_IDS, long_call_ids
from pilotage_extproc.dialects.transform.moved import Change, GoneThinking, Moved, moved_text
from pilotage_extproc.dialects.transform.transform import Transform, Transformed, transforms
from pilotage_extproc.dialects.transform.unsigned_thinking import unsigned_thinking
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.attempt import Attempt, Shape
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.gone_tools import GONE_TOOLS
from pilotage_extproc.request.shaping import Shaping
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.output_budgets import level_for

_ANTHROPIC: Final = frozenset({ProviderDialect.ANTHROPIC})
_OPENAI: Final = frozenset({ProviderDialect.OPENAI, ProviderDialect.AZURE})
_ALL: Final = frozenset(ProviderDialect)
_WITH_THINKING: Final = frozenset({CallKind.MESSAGES, CallKind.COUNT_TOKENS})
"""Calls whose messages may have thinking; counted is what would be sent."""
_TOO_MANY: Final = "the request has too many parts"
MOVED: Final = Note[str]("moved")
"""How the lists of the body were moved for all its attempts (`moved_text`), where one is at a provider."""


class _First(NamedTuple):
    """What the first attempt gets."""

    body: bytes | None
    """None where it goes on unchanged."""
    how: UsageEdit
    """How it asks for usage."""
    added: AddedUsage
    """What any of the attempts may bring of it that the client did not ask for."""
    gone: list[GoneThinking]


class Prepare(Step):
    """Splices the first attempt's model name and budget into the body, and asks its stream for usage."""

    name = "prepare"

    def apply(self, exchange: Exchange) -> None:
        """Edit the body. Raises RequestRefused (400) where a member to change stands more than once."""
        route = exchange.route
        if exchange.choice is not None or not route.candidates.one_way:
            _prepare(exchange, _attempts(exchange))
            return
        target = route.candidates.targets[0]
        attempt = Attempt.at(route.pools[target.pool], target.upstream_model)
        changed, how, added, gone = _for_first(exchange, (attempt,), None)
        _keep_moved(exchange, gone)
        exchange.prepared(changed, how, (), usage_added=added)


class PrepareTransformed(Step):
    """Prepares requests of a rule whose policy changes them, for all models alike or for each on its own."""

    name = "prepare"

    def __init__(
        self, by_model: Mapping[str, Transform], older_about: Callable[[], bool] = lambda: False
    ) -> None:
        """`by_model` is what models get, as the policy names them.

        While processes of the version before may still serve Envoy its clusters (`older_about`), all
        attempts get what the first one's model does.
        """
        self._by_model = by_model
        self._older_about = older_about

    def apply(self, exchange: Exchange) -> None:
        """Edit the body. Raises RequestRefused (400) where it cannot be edited for one of its attempts."""
        kind, route = exchange.call.kind, exchange.route
        known, tiers = transforms(kind), route.candidates.tiers
        attempts = tuple(
            [
                Attempt.at(
                    route.pools[target.pool],
                    target.upstream_model,
                    self._by_model.get(route.models[tiers[index]]) if known else None,
                    budget_of(exchange, index),
                )
                for target, index in zip(exchange.decision.targets, exchange.ranking.order, strict=True)
            ]
        )
        _prepare(exchange, attempts, each=not self._older_about())


def _prepare(exchange: Exchange, attempts: tuple[Attempt, ...], *, each: bool = True) -> None:
    """With `each`, attempts whose budgets or transforms differ are left to be shaped one by one.

    Other gateways, and Envoys of the version before, send what the first attempt gets to all.
    """
    wanted, kind = {attempt.shape for attempt in attempts}, exchange.call.kind
    each = each and len(wanted) > 1 and exchange.head.envoy is not None
    budget, transform = (None, None) if each else attempts[0].shape
    changed, how, added, gone = _for_first(exchange, attempts, budget)
    body = exchange.body if changed is None else changed
    largest = 0 if budget is None else len(body)
    known: dict[Shape, Shaping | None] = {}
    moved: list[Change] = []
    if each:  # only to find out in time what has to be refused
        for shape in wanted:
            made = shaped(body, kind, shape)
            largest = max(largest, len(made.body))
            known[shape] = None if shape[1] is None else Shaping(shape[1], made.changed)
    elif transform is not None:
        made = transform.made(kind, body)
        moved = [*made.moved]
        largest, changed = len(made.body), changed if made.body == body else made.body
        known = dict.fromkeys(wanted, Shaping(transform, made.changed))
    _keep_moved(exchange, [*moved, *gone])
    exchange.prepared(
        changed,
        how,
        attempts if _differ(attempts) else (),
        usage_added=added,
        transformed_each=each,
        transformed_bytes=largest,
        shapings=tuple([known[attempt.shape] for attempt in attempts]) if any(known.values()) else (),
    )


def _keep_moved(exchange: Exchange, moved: Sequence[Change]) -> None:
    """For a provider's hop, how all attempts get the lists of the client's body, the last change first."""
    gone = exchange.kept(GONE_TOOLS) or {}
    moved = [*moved, *(Moved(member, 0, numbers) for member, numbers in gone.items())]
    said = moved_text(moved) if moved and _asks(exchange, _ALL) else ""
    if said or exchange.kept(MOVED):  # it may have waited, and be prepared once more
        exchange.keep(MOVED, said)


def shaped(body: bytes, kind: CallKind, shape: Shape) -> Transformed:
    """The body as one attempt is to get it, the output budget before what the policy changes.

    Raises RequestRefused (400); KeyError, TypeError or ValueError for what is no body of this kind.
    """
    budget, transform = shape
    if budget is not None:
        body = budget.applied(kind, body)
    return Transformed(body, ()) if transform is None else transform.made(kind, body)


def budget_of(exchange: Exchange, candidate: int) -> OutputBudget | None:
    """The output budget that the rule's objective gave a candidate of the list."""
    choice = exchange.choice
    if choice is None or choice.objective.budget is None:
        return None
    return level_for(choice.objective.budget, choice.budget_at(candidate))


def _differ(attempts: tuple[Attempt, ...]) -> bool:
    first = attempts[0]
    return any(one is not first and one != first for one in attempts)


def _for_first(exchange: Exchange, attempts: tuple[Attempt, ...], budget: OutputBudget | None) -> _First:
    """The body for the first attempt. Raises RequestRefused (400) where a member to change stands twice."""
    document, body, first = exchange.document, exchange.body, attempts[0]
    edits = model_edits(body, document, first.upstream_model)
    if budget is not None:
        edits += budget.edits(exchange.call.kind, body, document.members)
    how, added, gone = UsageEdit.NONE, AddedUsage.NONE, list[GoneThinking]()
    # other gateways could not take out again what was added: their clients get what they ask for
    if document.stream and exchange.head.envoy is not None:
        dialect = DIALECTS[exchange.call.kind]
        members, own = document.members, (first.engine, first.stream_usage)
        spoken = {(attempt.engine, attempt.stream_usage) for attempt in attempts}
        added = added_usage(dialect, members, spoken)
        for engine, stream_usage in spoken - {own}:  # to find out in time what has to be refused
            usage_asked(body, dialect, members, engine, stream_usage)
        asked, how = usage_asked(body, dialect, members, *own)
        # first in the body, where a later attempt looks for it
        edits = [*asked, *edits]
    most = LONGEST_IDS.get(exchange.call.kind)
    if most is not None and _asks(exchange, _OPENAI):
        long = long_call_ids(body, document.members, exchange.call.kind)
        if long is None:
            exchange.skip("callIds", f"left as they are: {_TOO_MANY}, and OpenAI may refuse them")
        elif long:
            edits += long
            exchange.skip("callIds", f"put in OpenAI's form: it takes no more than {most} characters")
    if exchange.call.kind in _WITH_THINKING and _asks(exchange, _ANTHROPIC):
        unsigned = unsigned_thinking(body, document.members)
        if unsigned is not None and unsigned.edits is None:
            exchange.skip("thinking", f"left as it is: {_TOO_MANY}, and Anthropic may refuse it")
        elif unsigned is not None and unsigned.edits is not None:
            edits += unsigned.edits
            gone.append(unsigned.gone)
            exchange.skip("thinking", "left out: Anthropic has not signed it, and takes back only its own")
    if exchange.cache_salt is not None:
        edits.append(_salted(body, document, exchange.cache_salt))
    return _First(edited(body, edits) if edits or exchange.altered else None, how, added, gone)


def _asks(exchange: Exchange, dialects: frozenset[ProviderDialect]) -> bool:
    """Whether any of its attempts is at a provider that speaks one of these APIs."""
    pools = exchange.route.pools
    return any(
        external is not None and external.dialect in dialects
        for external in [pools[target.pool].external for target in exchange.decision.targets]
    )


def model_edits(body: bytes, document: Document, upstream_model: str) -> list[Edit]:
    """Edits that give a body this model name; none where it has it.

    Raises RequestRefused (400) where `model` stands more than once.
    """
    if document.form is not None:
        return _form_model(document.form, document.model, upstream_model)
    if not document.model:
        return _model_added(body, document, upstream_model)
    if upstream_model == document.model:
        check_single(body, MODEL)
        return []
    return [string_set(body, MODEL, upstream_model)]


def _form_model(form: Form, model: str, upstream_model: str) -> list[Edit]:
    """Edits that name the model in a form; none where it does already, or the server is to choose."""
    if upstream_model in ("", model):
        return []
    return [text_set(form, "model", upstream_model) if model else text_added(form, "model", upstream_model)]


def _model_added(body: bytes, document: Document, upstream_model: str) -> list[Edit]:
    """Edits that name the model of a call that named none; none where the server is to choose."""
    if "model" in document.members:
        check_single(body, MODEL)
    if not upstream_model:
        return []
    named = orjson.dumps(upstream_model)
    if "model" in document.members:
        start = value_start(body, MODEL)
        return [Edit(start, start + len(b"null"), named)]
    alone = not document.members
    return [members_added(body.index(b"{"), b'"model":%b' % named, alone=alone)]


def _salted(body: bytes, document: Document, salt: str) -> Edit:
    """The edit that gives a body this salt, instead of its own.

    A new one stands last: what asks for usage is found again by where it stands. Raises RequestRefused (400)
    where `cache_salt` stands more than once, or is no string.
    """
    if "cache_salt" not in document.members:
        end = body.rindex(b"}")
        return Edit(end, end, b',"cache_salt":"%b"' % salt.encode())
    own = document.members["cache_salt"]
    if own is None:
        start = value_start(body, CACHE_SALT)
        return Edit(start, start + len(b"null"), b'"%b"' % salt.encode())
    if not isinstance(own, str):
        message = "`cache_salt` must be a string, or be left out."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="cache_salt")
    return string_set(body, CACHE_SALT, salt)


def _attempts(exchange: Exchange) -> tuple[Attempt, ...]:
    """One for each target; a single one where all are alike."""
    pools, targets, order = exchange.route.pools, exchange.decision.targets, exchange.ranking.order
    if exchange.route.candidates.one_way:
        targets, order = targets[:1], order[:1]
    if exchange.choice is None:
        ways = [(target.pool, target.upstream_model) for target in targets]
        made = {way: Attempt.at(pools[way[0]], way[1]) for way in dict.fromkeys(ways)}
        return tuple([made[way] for way in ways])
    return tuple(
        [
            Attempt.at(pools[target.pool], target.upstream_model, None, budget_of(exchange, index))
            for target, index in zip(targets, order, strict=True)
        ]
    )


def later_attempt(
    body: bytes, kind: CallKind, content_type: str, how: UsageEdit, attempt: Attempt
) -> bytes | None:
    """The body of a later attempt, made of the first one's; None where nothing changes.

    Raises RequestRefused or KeyError where it is not one that `Prepare` has seen.
    """
    dialect = DIALECTS[kind]
    if dialect.body is BodyForm.MULTIPART:
        form = read_form(body, content_type)
        edits = _form_model(form, form.text(body, "model") or "", attempt.upstream_model)
        return edited(body, edits) if edits else None
    changed = body
    undone = usage_unasked(body, how) if how else None
    if undone is not None:
        changed = edited(body, [undone])
    edits = [string_set(changed, MODEL, attempt.upstream_model)]
    if dialect.usage_when_asked and attempt.stream_usage is StreamUsage.INJECT and b'"stream"' in changed:
        members = orjson.loads(changed)
        edits += usage_asked(changed, dialect, members, attempt.engine, attempt.stream_usage)[0]
    changed = edited(changed, edits)
    return None if changed == body else changed
