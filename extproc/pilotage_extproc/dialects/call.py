"""What one kind of call is: the contract every module of this folder fills in for its API."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pilotage_extproc.dialects.conversation import Media
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.prompt_parts import Parts
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import ErrorShape, Refusal, RequestRefused

Members = dict[str, Any]
"""A parsed body: the members of a JSON object, or the short text fields of a form."""


_INT64: Final = 2**63


class BodyForm(StrEnum):
    """How a call's body is written."""

    JSON = "json"
    MULTIPART = "multipart"
    """`multipart/form-data`."""


def no_prompt(members: Members, parts: Parts) -> None:
    """Of calls without a prompt that could be cached."""


def no_check(members: Members) -> None:
    """Of calls whose input is the model server's business alone."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Facts:
    """What rules may ask of a body, each computed only when asked, in a few milliseconds at most.

    Members of the wrong type count as missing: what they mean is the model server's business. Raises
    UnknownFactError where a body holds more than is looked at, and nothing else.
    """

    turns: Callable[[Members], int] = lambda _: 0
    """Messages of the user that are not only results of tools."""
    last_role: Callable[[Members], str | None] = lambda _: None
    """Of the last message: `user`, `assistant`, `tool`, `system`, `developer`; None without messages."""
    tool_names: Callable[[Members], tuple[str, ...]] = lambda _: ()
    """Tools that are offered to the model."""
    tools_used: Callable[[Members], tuple[str, ...]] = lambda _: ()
    """Tools that the model has called in the conversation so far, each once."""
    media: Callable[[Members], Media] = lambda _: Media()
    json_schema: Callable[[Members], bool] = lambda _: False
    """Whether the answer is bound to a JSON schema."""
    system_digest: Callable[[Members], str | None] = lambda _: None
    """16 hexadecimal digits of the system prompt's hash; None without one."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Dialect:
    """One kind of call, as one API has it."""

    kind: CallKind
    paths: tuple[str, ...]
    """The first is the one it is documented under."""
    body: BodyForm = BodyForm.JSON
    errors: ErrorShape = ErrorShape.OPENAI
    model_required: bool = True
    """False where engines serve a call that names no model: it goes to the only pool there is."""
    check: Callable[[Members], None] = no_check
    """Raises RequestRefused (400) where the prompt is missing or of the wrong type."""
    prompt: Callable[[Members, Parts], None] = no_prompt
    """Adds the prompt's parts, in the order an engine's prefix cache has them."""
    stands_for_more: tuple[str, ...] = ()
    """Members that stand for more of the prompt than they say, such as a stored response's id."""
    facts: Facts = Facts()
    streams: bool = False
    """Whether `stream` is a member of its body."""
    usage_when_asked: bool = False
    """Whether its streams carry usage only if `stream_options` asks for it."""
    stored: bool = False
    """Whether it may go on from a stored response (`previous_response_id`)."""
    output_limits: tuple[str, ...] = ()
    """Members that bound the output's tokens; each may stand, the last one is put in where none does."""
    usage: tuple[str, ...] = ("usage",)
    """Members of an answer, or of a stream's events, that hold its usage; empty where there is none."""

    method: str = "POST"

    @property
    def is_billed(self) -> bool:
        """Whether a model works for it: counting tokens costs none."""
        return bool(self.usage)

    @property
    def path(self) -> str:
        """The path it is documented under."""
        return self.paths[0]


def max_tokens(dialect: Dialect, members: Members) -> int | None:
    """Most tokens of output the client lets the model make, or None: the least of its limits.

    Raises UnknownFactError where one of them is no integer of 64 bits.
    """
    limits: list[int] = []
    for name in dialect.output_limits:
        limit = members.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or not -_INT64 <= limit < _INT64:
            raise UnknownFactError
        limits.append(limit)
    return min(limits, default=None)


def is_one_answer(members: Members) -> bool:
    """Whether a call has one prompt and asks for one choice; whatever is odd counts as several."""
    if members.get("n") not in (None, 1) or members.get("best_of") not in (None, 1):
        return False
    prompt, embeds = members.get("prompt"), members.get("prompt_embeds")
    if isinstance(prompt, list) and len(prompt) > 1 and not isinstance(prompt[0], int):
        return False
    return embeds is None or (not prompt and (not isinstance(embeds, list) or len(embeds) <= 1))


def missing(field: str) -> RequestRefused:
    """The refusal of a body without its prompt."""
    return RequestRefused(Refusal.MISSING_PROMPT, f"`{field}` is missing or empty.", param=field)


def check_messages(members: Members) -> None:
    """Refuse (400) a body whose `messages` are missing, empty or no list."""
    messages = members.get("messages")
    if messages is not None and not isinstance(messages, list):
        raise RequestRefused(Refusal.INVALID_FIELD, "`messages` must be a list.", param="messages")
    if not messages:
        raise missing("messages")


def check_any(*fields: str) -> Callable[[Members], None]:
    """A check that one of some members is there; the first is the one a refusal names."""

    def check(members: Members) -> None:
        if all(members.get(field) is None for field in fields):
            raise missing(fields[0])

    return check


MAX_MODEL_LENGTH: Final = 256
"""Characters."""


def checked_model(dialect: Dialect, model: Any) -> str:
    """The model's name; empty where a call may do without one and does. Raises RequestRefused (400)."""
    if model is None and not dialect.model_required:
        return ""
    if not isinstance(model, str) or not model:
        raise RequestRefused(Refusal.MISSING_MODEL, "`model` must be a non-empty string.", param="model")
    if len(model) > MAX_MODEL_LENGTH:
        message = f"`model` is longer than {MAX_MODEL_LENGTH} characters."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="model")
    return model
