"""Asking streams for their token usage, and taking that back for a pool that is not to be asked."""

import re
from collections.abc import Callable
from enum import IntFlag
from typing import Any, Final

from pilotage_api.snapshot import Engine, StreamUsage
from pilotage_extproc.dialects.call import Dialect
from pilotage_extproc.dialects.splice import STREAM_OPTIONS, Edit, members_added, value_start
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

CONTINUOUS_USAGE_ENGINES: Final = frozenset({Engine.VLLM, Engine.SGLANG})
"""Engines that can put usage in every chunk, so that a cut stream's usage is known too.

vLLM: https://github.com/vllm-project/vllm/pull/5742; SGLang, since October 2025 and ignored before:
https://github.com/sgl-project/sglang/pull/12241.
"""
_INCLUDE: Final = b'"include_usage":true'
_CONTINUOUS: Final = b',"continuous_usage_stats":true'
_FLAT: Final = re.compile(rb'\{[^{}"]*+(?:"[^"\\{}]*+"[^{}"]*+)*+\}')
"""An object of plain strings and scalars, as every client writes `stream_options`."""
_SAID: Final = re.compile(rb'"include_usage"[ \t\r\n]*:[ \t\r\n]*(false|null)')


class UsageEdit(IntFlag):
    """How a body was made to ask for usage; travels with the pick as a number.

    Later attempts start from the first one's body: what was added for it is taken out by this.
    """

    NONE = 0
    MEMBER_ADDED = 1
    """`stream_options` as a whole: the client sent none."""
    FILLED = 2
    """Put first into the client's own `stream_options`, which has other members."""
    NULL_REPLACED = 4
    """The client's `stream_options` was null."""
    EMPTY_FILLED = 8
    """The client's `stream_options` was an empty object."""
    CONTINUOUS = 16
    """Usage was asked for in every chunk."""
    FALSE_REPLACED = 32
    """The client's `include_usage` was false."""
    NULL_WITHIN_REPLACED = 64
    """It was null."""


def leaves_usage_open(dialect: Dialect, members: dict[str, Any]) -> bool:
    """Whether a call streams and its client has not said that it wants usage.

    One that sets `include_usage` to true gets what it asked for. One that wants none sees none, and what it
    has used is known all the same: else it would not be counted as it is.
    """
    if not dialect.usage_when_asked or members.get("stream") is not True:
        return False
    options = members.get("stream_options")
    if not isinstance(options, dict):
        return options is None
    said = options.get("include_usage")
    return said is None or said is False


def usage_asked(
    body: bytes, dialect: Dialect, members: dict[str, Any], engine: Engine, stream_usage: StreamUsage
) -> tuple[list[Edit], UsageEdit]:
    """Edits by which a stream carries its usage; none where the client asks for it itself.

    Raises RequestRefused (400) where `stream_options` stands more than once, or cannot be changed.
    """
    if stream_usage is not StreamUsage.INJECT or not leaves_usage_open(dialect, members):
        return [], UsageEdit.NONE
    options = members.get("stream_options")
    asked, how = _INCLUDE, UsageEdit.NONE
    if engine in CONTINUOUS_USAGE_ENGINES and not (options and "continuous_usage_stats" in options):
        asked, how = _INCLUDE + _CONTINUOUS, UsageEdit.CONTINUOUS
    if "stream_options" not in members:
        edit = members_added(body.index(b"{"), b'"stream_options":{%b}' % asked, alone=False)
        return [edit], how | UsageEdit.MEMBER_ADDED
    start = value_start(body, STREAM_OPTIONS)
    if options is None:
        return [Edit(start, start + len(b"null"), b"{%b}" % asked)], how | UsageEdit.NULL_REPLACED
    if "include_usage" in options:
        return _said_otherwise(body, start, how)
    filled = UsageEdit.FILLED if options else UsageEdit.EMPTY_FILLED
    return [members_added(start, asked, alone=not options)], how | filled


def usage_unasked(body: bytes, how: UsageEdit) -> Edit | None:
    """The edit that takes back what `usage_asked` did; None where the body does not have it."""
    asked = _INCLUDE + (_CONTINUOUS if how & UsageEdit.CONTINUOUS else b"")
    if how & UsageEdit.MEMBER_ADDED:
        start = body.index(b"{") + 1
        return _removed(body, start, b'"stream_options":{%b},' % asked, b"")
    if how & (UsageEdit.FALSE_REPLACED | UsageEdit.NULL_WITHIN_REPLACED):
        return _as_said(body, value_start(body, STREAM_OPTIONS), how)
    find = _REPLACED.get(how & ~UsageEdit.CONTINUOUS)
    if find is None:
        return None
    written, before = find(asked)
    return _removed(body, value_start(body, STREAM_OPTIONS), written, before)


def _said_otherwise(body: bytes, start: int, how: UsageEdit) -> tuple[list[Edit], UsageEdit]:
    """The edit that turns the client's `include_usage` round; the object begins at `start`."""
    found = _FLAT.match(body, start)
    said = [] if found is None else list(_SAID.finditer(found.group()))
    if found is None or len(said) != 1 or found.group().count(b"include_usage") != 1:
        message = "`include_usage` must stand once in `stream_options`, and plainly."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="stream_options")
    [(at, end)], text = [one.span(1) for one in said], found.group()
    how |= UsageEdit.FALSE_REPLACED if text[at:end] == b"false" else UsageEdit.NULL_WITHIN_REPLACED
    asked = text[:at] + b"true".ljust(end - at) + text[end:]
    if how & UsageEdit.CONTINUOUS:
        asked = b"{%b," % _CONTINUOUS[1:] + asked[1:]
    return [Edit(found.start(), found.end(), asked)], how


def _as_said(body: bytes, start: int, how: UsageEdit) -> Edit | None:
    """The edit that takes that back; None where the body does not have it."""
    found = _FLAT.match(body, start)
    text = b"" if found is None else found.group()
    if how & UsageEdit.CONTINUOUS:
        added = b"{%b," % _CONTINUOUS[1:]
        if not text.startswith(added):
            return None
        text = b"{" + text[len(added) :]
    key = text.find(b'"include_usage"')
    at = text.find(b"true", key)
    if found is None or key < 0 or at < 0:
        return None
    was = b"false" if how & UsageEdit.FALSE_REPLACED else b"null"
    return Edit(found.start(), found.end(), text[:at] + was + text[at + len(was) :])


_REPLACED: Final[dict[UsageEdit, Callable[[bytes], tuple[bytes, bytes]]]] = {
    UsageEdit.FILLED: lambda asked: (b"{%b," % asked, b"{"),
    UsageEdit.NULL_REPLACED: lambda asked: (b"{%b}" % asked, b"null"),
    UsageEdit.EMPTY_FILLED: lambda asked: (b"{%b" % asked, b"{"),
}


def _removed(body: bytes, start: int, written: bytes, before: bytes) -> Edit | None:
    return Edit(start, start + len(written), before) if body.startswith(written, start) else None
