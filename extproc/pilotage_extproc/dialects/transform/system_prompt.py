"""Text around or instead of a client's system prompt, in the API that the client speaks."""

from collections.abc import Callable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import orjson

from pilotage_api.transform_snapshot import TransformSnapshot
from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.splice import Edit, MemberName, value_start
from pilotage_extproc.dialects.transform.moved import Moved, OwnParts
from pilotage_extproc.dialects.transform.parameters import put
from pilotage_extproc.dialects.transform.walk import Walk, without
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_ROLES: Final = ("system", "developer")
_BETWEEN: Final = "\n\n"
_MESSAGES: Final = MemberName("messages")
_INPUT: Final = MemberName("input")
_SYSTEM: Final = MemberName("system")
_INSTRUCTIONS: Final = MemberName("instructions")


def prompt_edits(body: bytes, members: Members, kind: CallKind, given: TransformSnapshot) -> list[Edit]:
    """What gives a body the system prompt of a policy; nothing for calls that have none.

    Raises RequestRefused (400) where the client's own is of the wrong type, or stands more than once.
    """
    edits_of = _BY_KIND.get(kind)
    if edits_of is None or (given.prefix is None and given.suffix is None and given.replace is None):
        return []
    return edits_of(body, members, given, Walk(body))


def moved_by(members: Members, kind: CallKind, given: TransformSnapshot) -> tuple[Moved | OwnParts, ...]:
    """How `prompt_edits` moves items of lists, in a body that it has edits for; empty where it moves none."""
    if given.replace is not None:
        name = "input" if kind is CallKind.RESPONSES else "messages"
        values = members.get(name)
        gone = (
            tuple([at for at, one in enumerate(values) if _is_system(one)])
            if isinstance(values, list)
            else ()
        )
        before = int(kind is CallKind.CHAT)
        return (Moved(name, before, gone),) if before or gone else ()
    if kind is CallKind.CHAT:
        return _moved_in_chat(members["messages"], given)
    before = _put_before(members.get("system"), given.prefix, given.suffix)
    return (Moved("system", before),) if before and kind is not CallKind.RESPONSES else ()


def _moved_in_chat(messages: list[Any], given: TransformSnapshot) -> tuple[Moved | OwnParts, ...]:
    leading = _leading(messages)
    if not leading:
        return (Moved("messages", 1),)
    first, last = (messages[at]["content"] for at in (0, leading - 1))
    if leading == 1:
        before = {0: _put_before(first, given.prefix, given.suffix)}
    else:
        before = {0: _put_before(first, given.prefix), leading - 1: _put_before(last, None, given.suffix)}
    return tuple([OwnParts(message, parts) for message, parts in before.items() if parts])


def _put_before(content: Any, prefix: str | None, suffix: str | None = None) -> int:
    """How many parts `_around` puts before the client's; all of them where the client has none."""
    if not isinstance(content, list):
        return 0
    return sum(text is not None for text in ((prefix,) if content else (prefix, suffix)))


def has_system_prompt(kind: CallKind) -> bool:
    """Whether calls of this kind have one."""
    return kind in _BY_KIND


def _in_chat(body: bytes, members: Members, given: TransformSnapshot, walk: Walk) -> list[Edit]:
    messages = members.get("messages")
    if not isinstance(messages, list):
        raise _of_wrong_type("messages")
    start = value_start(body, _MESSAGES)
    if given.replace is not None:
        gone = [_is_system(one) for one in messages]
        made = _message(given.replace) + (b"" if all(gone) else b",")
        return [Edit(start + 1, start + 1, made), *_cut(walk, start, gone)]
    leading = _leading(messages)
    if not leading:
        made = _message(_joined(given)) + (b"," if messages else b"")
        return [Edit(start + 1, start + 1, made)]
    spans = list(islice(walk.items(start), leading))
    first, last = (_content(walk, spans[at].start) for at in (0, -1))
    if leading == 1:
        return _around(body, walk, first, given.prefix, given.suffix, "messages[0].content")
    edits = _around(body, walk, first, given.prefix, None, "messages[0].content")
    return edits + _around(body, walk, last, None, given.suffix, f"messages[{leading - 1}].content")


def _in_messages(body: bytes, members: Members, given: TransformSnapshot, walk: Walk) -> list[Edit]:
    edits = _in_member(body, members, _SYSTEM, given, walk)
    messages = members.get("messages")
    # Anthropic has no such role; servers that take it read it as the system prompt
    if given.replace is not None and isinstance(messages, list):
        edits += _cut_in(body, walk, _MESSAGES, messages)
    return edits


def _in_responses(body: bytes, members: Members, given: TransformSnapshot, walk: Walk) -> list[Edit]:
    if not isinstance(members.get("instructions") or "", str):
        raise _of_wrong_type("instructions")
    edits = _in_member(body, members, _INSTRUCTIONS, given, walk)
    items = members.get("input")
    if given.replace is not None and isinstance(items, list):
        edits += _cut_in(body, walk, _INPUT, items)
    return edits


_BY_KIND: Final[Mapping[CallKind, Callable[[bytes, Members, TransformSnapshot, Walk], list[Edit]]]] = (
    MappingProxyType(
        {
            CallKind.CHAT: _in_chat,
            CallKind.MESSAGES: _in_messages,
            CallKind.COUNT_TOKENS: _in_messages,
            CallKind.RESPONSES: _in_responses,
        }
    )
)


def _in_member(
    body: bytes, members: Members, name: MemberName, given: TransformSnapshot, walk: Walk
) -> list[Edit]:
    """In a member of its own that holds the system prompt."""
    if members.get(name.name) is None:
        return [put(body, members, name, orjson.dumps(given.replace or _joined(given)))]
    start = value_start(body, name)
    if given.replace is not None:
        return [Edit(start, walk.value(start).end, orjson.dumps(given.replace))]
    return _around(body, walk, start, given.prefix, given.suffix, name.name)


def _around(
    body: bytes, walk: Walk, start: int, prefix: str | None, suffix: str | None, param: str
) -> list[Edit]:
    """Text before and behind what begins there: a string, a list of parts, or null."""
    sign, texts = body[start : start + 1], [text for text in (prefix, suffix) if text is not None]
    if not texts:
        return []
    if sign not in (b'"', b"["):
        if not body.startswith(b"null", start):
            raise _of_wrong_type(param)
        return [Edit(start, start + len(b"null"), orjson.dumps(_BETWEEN.join(texts)))]
    inside, behind = start + 1, walk.value(start).end - 1
    if not body[inside:behind].strip():
        # nothing there, or blanks between brackets and blanks that mean nothing
        made = b",".join(map(_part, texts)) if sign == b"[" else _inner(_BETWEEN.join(texts))
        return [Edit(inside, inside, made)]
    edits = []
    if prefix is not None:
        made = _part(prefix) + b"," if sign == b"[" else _inner(prefix + _BETWEEN)
        edits.append(Edit(inside, inside, made))
    if suffix is not None:
        made = b"," + _part(suffix) if sign == b"[" else _inner(_BETWEEN + suffix)
        edits.append(Edit(behind, behind, made))
    return edits


def _cut_in(body: bytes, walk: Walk, name: MemberName, values: list[Any]) -> list[Edit]:
    gone = [_is_system(one) for one in values]
    return _cut(walk, value_start(body, name), gone) if any(gone) else []


def _cut(walk: Walk, start: int, gone: list[bool]) -> list[Edit]:
    """Edits that cut marked values out of the list that begins there."""
    if not any(gone):
        return []
    last = len(gone) - 1 - gone[::-1].index(True)
    spans = list(islice(walk.items(start), last + 2))
    return [Edit(span.start, span.end, b"") for span in without(spans, gone)]


def _leading(messages: list[Any]) -> int:
    """How many messages before all others are the system prompt's."""
    return next((at for at, one in enumerate(messages) if not _is_system(one)), len(messages))


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in _ROLES


def _content(walk: Walk, start: int) -> int:
    """Where the content of a message begins."""
    found = [one.value.start for one in walk.members(start) if one.name == "content"]
    if len(found) != 1:
        message = "The system message must have `content`, once."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="messages")
    return found[0]


def _joined(given: TransformSnapshot) -> str:
    return _BETWEEN.join(text for text in (given.prefix, given.suffix) if text is not None)


def _message(text: str) -> bytes:
    return orjson.dumps({"role": "system", "content": text})


def _part(text: str) -> bytes:
    return orjson.dumps({"type": "text", "text": text})


def _inner(text: str) -> bytes:
    """As it stands between the quotes of a string."""
    return orjson.dumps(text)[1:-1]


def _of_wrong_type(param: str) -> RequestRefused:
    message = f"`{param}` must be text."
    return RequestRefused(Refusal.INVALID_FIELD, message, param=param)
