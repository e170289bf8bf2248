"""Asking streams for their token usage, and taking that back for a pool that is not to be asked."""

import re
from collections.abc import Iterable
from enum import Enum, IntFlag
from typing import Any, Final, NamedTuple

from pilotage_api.snapshot import Engine, StreamUsage
from pilotage_extproc.dialects.call import Dialect, is_one_answer
from pilotage_extproc.dialects.splice import STREAM_OPTIONS, Edit, members_added, value_start
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

CONTINUOUS_USAGE_ENGINES: Final = frozenset({Engine.VLLM, Engine.SGLANG})
"""Engines that can put usage in every chunk, so that a cut stream's usage is known too, if it has one answer.

vLLM: https://github.com/vllm-project/vllm/pull/5742; SGLang, since October 2025 and ignored before:
https://github.com/sgl-project/sglang/pull/12241.
"""
_INCLUDE: Final = b'"include_usage":true'
_CONTINUOUS: Final = b'"continuous_usage_stats":true'
_BOTH: Final = _INCLUDE + b"," + _CONTINUOUS
_FLAT: Final = re.compile(rb'\{[^{}"]*+(?:"[^"\\{}]*+"[^{}"]*+)*+\}')
"""An object of plain strings and scalars, as every client writes `stream_options`."""


class _Wish(NamedTuple):
    """A member of `stream_options` that decides over usage."""

    name: str
    said: re.Pattern[bytes]
    """The member where its client says no, or null."""
    was_false: "UsageEdit"
    was_null: "UsageEdit"


class UsageEdit(IntFlag):
    """How a body was made to ask for usage; travels with the pick as a number.

    Later attempts start from the first one's body: what was added for it is taken out by this.
    """

    NONE = 0
    MEMBER_ADDED = 1
    """`stream_options` as a whole: the client sent none."""
    FILLED = 2
    """`include_usage` was put first into the client's own `stream_options`, which has other members."""
    NULL_REPLACED = 4
    """The client's `stream_options` was null."""
    EMPTY_FILLED = 8
    """The client's `stream_options` was an empty object."""
    CONTINUOUS = 16
    """Usage was asked for in every chunk, by a member that the client's own `stream_options` did not have."""
    FALSE_REPLACED = 32
    """The client's `include_usage` was false."""
    NULL_WITHIN_REPLACED = 64
    """It was null."""
    CONTINUOUS_FALSE_REPLACED = 128
    """The client's `continuous_usage_stats` was false."""
    CONTINUOUS_NULL_REPLACED = 256
    """It was null."""


_INCLUDED: Final = _Wish(
    "include_usage",
    re.compile(rb'"include_usage"[ \t\r\n]*:[ \t\r\n]*(false|null)'),
    UsageEdit.FALSE_REPLACED,
    UsageEdit.NULL_WITHIN_REPLACED,
)
_IN_EVERY_CHUNK: Final = _Wish(
    "continuous_usage_stats",
    re.compile(rb'"continuous_usage_stats"[ \t\r\n]*:[ \t\r\n]*(false|null)'),
    UsageEdit.CONTINUOUS_FALSE_REPLACED,
    UsageEdit.CONTINUOUS_NULL_REPLACED,
)


class AddedUsage(Enum):
    """What of a stream's usage its client did not ask for."""

    NONE = 0
    BEFORE_LAST = 1
    """It asked for the last chunk, and the others have usage too."""
    ALL = 2


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


def added_usage(
    dialect: Dialect, members: dict[str, Any], attempts: Iterable[tuple[Engine, StreamUsage]]
) -> AddedUsage:
    """What its client did not ask for and any of these attempts may bring."""
    engines = [engine for engine, usage in attempts if usage is StreamUsage.INJECT]
    if engines and leaves_usage_open(dialect, members):
        return AddedUsage.ALL
    if _asks_for_the_last(dialect, members) and any(_in_every_chunk(engine, members) for engine in engines):
        return AddedUsage.BEFORE_LAST
    return AddedUsage.NONE


def _in_every_chunk(engine: Engine, members: dict[str, Any]) -> bool:
    """Whether an engine is asked for usage in every chunk.

    Before the last one it says what the chunk's own choice or prompt has used: of several, too little.
    """
    return engine in CONTINUOUS_USAGE_ENGINES and is_one_answer(members)


def _asks_for_the_last(dialect: Dialect, members: dict[str, Any]) -> bool:
    """Whether a client asks for usage, and not in every chunk."""
    if not dialect.usage_when_asked or members.get("stream") is not True:
        return False
    options = members.get("stream_options")
    return (
        isinstance(options, dict)
        and options.get("include_usage") is True
        and options.get("continuous_usage_stats") is not True
    )


def usage_asked(
    body: bytes, dialect: Dialect, members: dict[str, Any], engine: Engine, stream_usage: StreamUsage
) -> tuple[list[Edit], UsageEdit]:
    """Edits by which a stream carries its usage, in every chunk where the engine can; none where it does.

    Raises RequestRefused (400) where `stream_options` stands more than once, or cannot be changed.
    """
    options = members.get("stream_options")
    unasked = leaves_usage_open(dialect, members) or _asks_for_the_last(dialect, members)
    if stream_usage is not StreamUsage.INJECT or not dialect.usage_when_asked:
        return [], UsageEdit.NONE
    if isinstance(options, dict) and members.get("stream") is True:
        _check_plain(options)
    if not unasked:
        return [], UsageEdit.NONE
    every_chunk = _in_every_chunk(engine, members)
    if options:
        return _asked_within(body, options, every_chunk=every_chunk)
    asked, how = (_BOTH, UsageEdit.CONTINUOUS) if every_chunk else (_INCLUDE, UsageEdit.NONE)
    if "stream_options" not in members:
        edit = members_added(body.index(b"{"), b'"stream_options":{%b}' % asked, alone=False)
        return [edit], how | UsageEdit.MEMBER_ADDED
    start = value_start(body, STREAM_OPTIONS)
    if options is None:
        return [Edit(start, start + len(b"null"), b"{%b}" % asked)], how | UsageEdit.NULL_REPLACED
    return [members_added(start, asked, alone=True)], how | UsageEdit.EMPTY_FILLED


def usage_unasked(body: bytes, how: UsageEdit) -> Edit | None:
    """The edit that takes back what `usage_asked` did; None where the body does not have it."""
    asked = _BOTH if how & UsageEdit.CONTINUOUS else _INCLUDE
    if how & UsageEdit.MEMBER_ADDED:
        start = body.index(b"{") + 1
        return _removed(body, start, b'"stream_options":{%b},' % asked, b"")
    start = value_start(body, STREAM_OPTIONS)
    if how & UsageEdit.NULL_REPLACED:
        return _removed(body, start, b"{%b}" % asked, b"null")
    if how & UsageEdit.EMPTY_FILLED:
        return _removed(body, start, b"{%b" % asked, b"{")
    return _as_said(body, start, how)


def _check_plain(options: dict[str, Any]) -> None:
    """Raises RequestRefused (400) for what one server reads as yes and another as no."""
    for wish in (_INCLUDED, _IN_EVERY_CHUNK):
        said = options.get(wish.name)
        if said is not None and not isinstance(said, bool):
            message = f"`{wish.name}` must be true or false."
            raise RequestRefused(Refusal.INVALID_FIELD, message, param=f"stream_options.{wish.name}")


def _asked_within(body: bytes, options: dict[str, Any], *, every_chunk: bool) -> tuple[list[Edit], UsageEdit]:
    """The edit that makes the client's own `stream_options`, which has members, ask for usage."""
    start = value_start(body, STREAM_OPTIONS)
    front, how, turned = [], UsageEdit.NONE, []
    for wish, added, how_added in (
        (_INCLUDED, _INCLUDE, UsageEdit.FILLED),
        (_IN_EVERY_CHUNK, _CONTINUOUS, UsageEdit.CONTINUOUS),
    ):
        if wish is _IN_EVERY_CHUNK and not every_chunk:
            continue
        if wish.name not in options:
            front.append(added)
            how |= how_added
        elif options[wish.name] is not True:
            turned.append(wish)
    if not turned:
        return ([members_added(start, b",".join(front), alone=False)] if front else []), how
    found = _FLAT.match(body, start)
    if found is None:
        raise _hidden(turned[0])
    asked = found.group()
    for wish in turned:
        said = list(wish.said.finditer(asked))
        if len(said) != 1 or asked.count(wish.name.encode()) != 1:
            raise _hidden(wish)
        at, end = said[0].span(1)
        how |= wish.was_false if asked[at:end] == b"false" else wish.was_null
        asked = asked[:at] + b"true".ljust(end - at) + asked[end:]
    if front:
        asked = b"{%b,%b" % (b",".join(front), asked[1:])
    return [Edit(found.start(), found.end(), asked)], how


def _hidden(wish: _Wish) -> RequestRefused:
    message = f"`{wish.name}` must stand once in `stream_options`, and plainly."
    return RequestRefused(Refusal.INVALID_FIELD, message, param="stream_options")


def _as_said(body: bytes, start: int, how: UsageEdit) -> Edit | None:
    """The edit that takes back what `_asked_within` did; None where the body does not have it."""
    front = [
        added
        for added, how_added in ((_INCLUDE, UsageEdit.FILLED), (_CONTINUOUS, UsageEdit.CONTINUOUS))
        if how & how_added
    ]
    written = b"{%b," % b",".join(front) if front else b"{"
    if how & ~(UsageEdit.FILLED | UsageEdit.CONTINUOUS) == UsageEdit.NONE:
        return _removed(body, start, written, b"{")
    found = _FLAT.match(body, start)
    if found is None or not found.group().startswith(written):
        return None
    text = b"{" + found.group()[len(written) :]
    for wish in (_INCLUDED, _IN_EVERY_CHUNK):
        if not how & (wish.was_false | wish.was_null):
            continue
        key = text.find(b'"%b"' % wish.name.encode())
        at = text.find(b"true", key)
        if key < 0 or at < 0:
            return None
        was = b"false" if how & wish.was_false else b"null"
        text = text[:at] + was + text[at + len(was) :]
    return Edit(found.start(), found.end(), text)


def _removed(body: bytes, start: int, written: bytes, before: bytes) -> Edit | None:
    return Edit(start, start + len(written), before) if body.startswith(written, start) else None
