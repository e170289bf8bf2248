"""Take tools out of a request's bytes; every other byte stays as it was."""

from collections.abc import Generator, Iterator
from typing import Final

import orjson

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.json_spans import Span, removals, spans_within
from pilotage_extproc.dialects.splice import Edit, MemberName, edited, key_span, members_added, value_start
from pilotage_extproc.domain.head import CallKind

_NAMES: Final = {
    name: MemberName(name)
    for name in (
        "tools",
        "functions",
        "mcp_servers",
        "web_search_options",
        "search_parameters",
        "enable_search",
        "plugins",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
    )
}
_ENDS: Final = b",]} \t\r\n"


class Changed:
    """A body that is changed step by step."""

    def __init__(self, body: bytes) -> None:
        self.body = body


def without_items(changed: Changed, member: str, gone: set[int]) -> Iterator[None]:
    """Steps that take items out of a list, of which some stay. Raises RequestRefused as splicing does."""
    spans: list[Span] = []
    yield from spans_within(changed.body, value_start(changed.body, _NAMES[member]), spans)
    changed.body = edited(changed.body, removals(spans[:-1], gone))


def without_member(changed: Changed, member: str) -> Iterator[None]:
    """Steps that take a member out of the body. Raises RequestRefused (400) as splicing does."""
    body, name = changed.body, _NAMES[member]
    start = key_span(body, name)[0]
    end = yield from _value_end(body, value_start(body, name))
    after = end + len(body[end:]) - len(body[end:].lstrip(b" \t\r\n"))
    if body[after : after + 1] == b",":
        rest = body[after + 1 :]
        changed.body = body[:start] + rest.lstrip(b" \t\r\n")
        return
    before = body[:start].rstrip(b" \t\r\n")
    changed.body = before.removesuffix(b",") + body[end:]


def _value_end(body: bytes, start: int) -> Generator[None, None, int]:
    sign = body[start : start + 1]
    if sign in (b"[", b"{"):
        spans: list[Span] = []
        yield from spans_within(body, start, spans)
        return spans[-1][1]
    if sign == b'"':
        end = start + 1
        while body[end : end + 1] != b'"':
            end += 2 if body[end : end + 1] == b"\\" else 1
        return end + 1
    end = start
    while end < len(body) and body[end] not in _ENDS:
        end += 1
    return end


def one_call_at_a_time(changed: Changed, kind: CallKind, members: Members) -> Iterator[None]:
    """Steps that let the model call one tool at a time. Raises RequestRefused (400) as splicing does."""
    if kind not in (CallKind.MESSAGES, CallKind.COUNT_TOKENS):
        yield from _set(changed, "parallel_tool_calls", members, b"false")
        return
    choice = members.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") != "none" and choice.get("disable_parallel_tool_use") is not True:
            value = orjson.dumps({**choice, "disable_parallel_tool_use": True})
            yield from _set(changed, "tool_choice", members, value)
        return
    yield from _set(changed, "tool_choice", members, b'{"type":"auto","disable_parallel_tool_use":true}')


def _set(changed: Changed, member: str, members: Members, value: bytes) -> Iterator[None]:
    body, name = changed.body, _NAMES[member]
    if member in members:
        start = value_start(body, name)
        end = yield from _value_end(body, start)
        changed.body = edited(body, [Edit(start, end, value)])
    else:
        text = b"%b:%b" % (name.literal, value)
        changed.body = edited(body, [members_added(body.index(b"{"), text, alone=not members)])
