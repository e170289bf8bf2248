"""Ids of calls of tools in a chat that goes to OpenAI untranslated: long ones are put in its form.

Servers of one's own make longer ids than OpenAI takes (vLLM's have 46 characters), and a conversation takes
them along. Their form is that of translated requests, so one id is the same whichever way it goes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from pilotage_extproc.dialects.splice import Edit, MemberName, value_start
from pilotage_extproc.dialects.transform.walk import Span, Walk
from pilotage_extproc.dialects.translation.call_ids import is_long, shortened
from pilotage_extproc.domain.refusals import RequestRefused

_MESSAGES: Final = MemberName("messages")


def long_call_ids(body: bytes, members: Mapping[str, Any]) -> list[Edit]:
    """Edits that put ids of over 40 characters in OpenAI's form, of calls and of their results alike.

    A body of too many parts is left as it is.
    """
    messages = members.get("messages")
    if not isinstance(messages, list):
        return []
    concerned = [_has_long(message) for message in messages]
    if not any(concerned):
        return []
    try:
        return list(_edits(body, concerned))
    except RequestRefused:
        return []


def _has_long(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    calls = message.get("tool_calls")
    ids = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return any(isinstance(one, str) and is_long(one) for one in (message.get("tool_call_id"), *ids))


def _edits(body: bytes, concerned: list[bool]) -> Iterator[Edit]:
    walk = Walk(body)
    for span, is_concerned in zip(walk.items(value_start(body, _MESSAGES)), concerned, strict=True):
        if not is_concerned:
            continue
        for member in walk.members(span.start):
            if member.name == "tool_call_id":
                yield from _edit(body, member.value)
            elif member.name == "tool_calls" and body[member.value.start : member.value.start + 1] == b"[":
                for call in walk.items(member.value.start):
                    if body[call.start : call.start + 1] != b"{":
                        continue
                    for one in walk.members(call.start):
                        if one.name == "id":
                            yield from _edit(body, one.value)


def _edit(body: bytes, span: Span) -> Iterator[Edit]:
    said = orjson.loads(body[span.start : span.end])
    if isinstance(said, str) and is_long(said):
        yield Edit(span.start, span.end, orjson.dumps(shortened(said)))
