"""Ids of calls of tools in a request that goes to OpenAI untranslated: long ones are put in its form.

Servers of one's own make longer ids than OpenAI takes (vLLM's have 46 characters), and a conversation takes
them along. Their form is that of translated requests, so one id is the same whichever way it goes.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from pilotage_extproc.dialects.splice import Edit, MemberName, value_start
from pilotage_extproc.dialects.transform.walk import Span, Walk
from pilotage_extproc.dialects.translation.call_ids import LONGEST_IN_CHATS, shortened
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import RequestRefused


class _Place(NamedTuple):
    """Where the calls of one API have their ids."""

    items: MemberName
    """The list of messages or items."""
    ids: Callable[[dict[str, Any]], Iterator[Any]]
    """Values of one of them that may be ids."""
    spans: Callable[[bytes, Walk, Span], Iterator[Span]]
    """Where these stand in the body."""
    longest: int
    """Characters that OpenAI takes."""

    def is_long(self, said: Any) -> bool:
        return isinstance(said, str) and len(said) > self.longest


def long_call_ids(body: bytes, members: Mapping[str, Any], kind: CallKind) -> list[Edit] | None:
    """Edits that put too long ids in OpenAI's form, of calls and of their results alike.

    None of a body that has such ids and too many parts to find them. Raises KeyError of a kind that is not in
    `LONGEST_IDS`.
    """
    place = _PLACES[kind]
    items = members.get(place.items.name)
    if not isinstance(items, list):
        return []
    concerned = [_has_long(item, place) for item in items]
    if not any(concerned):
        return []
    try:
        return list(_edits(body, concerned, place))
    except RequestRefused:
        return None


def _has_long(item: Any, place: _Place) -> bool:
    if not isinstance(item, dict):
        return False
    return any(map(place.is_long, place.ids(item)))


def _edits(body: bytes, concerned: list[bool], place: _Place) -> Iterator[Edit]:
    walk = Walk(body)
    for item, is_concerned in zip(walk.items(value_start(body, place.items)), concerned, strict=True):
        for span in place.spans(body, walk, item) if is_concerned else ():
            said = orjson.loads(body[span.start : span.end])
            if place.is_long(said):
                yield Edit(span.start, span.end, orjson.dumps(shortened(said)))


def _of_message(message: dict[str, Any]) -> Iterator[Any]:
    yield message.get("tool_call_id")
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            yield call.get("id")


def _in_message(body: bytes, walk: Walk, message: Span) -> Iterator[Span]:
    for member in walk.members(message.start):
        if member.name == "tool_call_id":
            yield member.value
        elif member.name == "tool_calls" and body[member.value.start : member.value.start + 1] == b"[":
            for call in walk.items(member.value.start):
                if body[call.start : call.start + 1] == b"{":
                    yield from [one.value for one in walk.members(call.start) if one.name == "id"]


def _of_item(item: dict[str, Any]) -> Iterator[Any]:
    yield item.get("call_id")


def _in_item(_: bytes, walk: Walk, item: Span) -> Iterator[Span]:
    """Of calls and results of whatever tool: functions, custom tools, shells, patches, computers."""
    for member in walk.members(item.start):
        if member.name == "call_id":
            yield member.value


_PLACES: Final[Mapping[CallKind, _Place]] = MappingProxyType(
    {
        CallKind.CHAT: _Place(MemberName("messages"), _of_message, _in_message, LONGEST_IN_CHATS),
        CallKind.RESPONSES: _Place(MemberName("input"), _of_item, _in_item, 64),
    }
)
LONGEST_IDS: Final[Mapping[CallKind, int]] = MappingProxyType(
    {kind: place.longest for kind, place in _PLACES.items()}
)
"""Characters of an id that OpenAI takes, in calls whose ids are shortened."""
