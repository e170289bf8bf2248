"""Thinking blocks without Anthropic's signature, taken out of a request for its API.

Clients of that API send the thinking of earlier answers back as they got it. Anthropic takes back only what
it has signed, and refuses the request otherwise; what another model thought has no signature, or one that
its server made up.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.splice import Edit, MemberName, value_start
from pilotage_extproc.dialects.transform.moved import GoneThinking
from pilotage_extproc.dialects.transform.walk import Span, Walk, without
from pilotage_extproc.dialects.translation.signatures import may_be_anthropics
from pilotage_extproc.domain.refusals import RequestRefused

_TYPE: Final = "thinking"
_NAMED: Final = b'"thinking"'
_MESSAGES: Final = MemberName("messages")


class Unsigned(NamedTuple):
    """What to cut out of a body, and which numbers that takes from its lists."""

    edits: list[Edit] | None
    """None of a body of too many parts to find where they stand."""
    gone: GoneThinking


def unsigned_thinking(body: bytes, members: Members) -> Unsigned | None:
    """What takes such blocks out, and messages that hold nothing else; None where there are none."""
    if _NAMED not in body:
        return None
    messages = members.get("messages")
    if not isinstance(messages, list):
        return None
    gone = [_unsigned(message) for message in messages]
    if not any(map(any, gone)):
        return None
    places = GoneThinking(tuple(_places(gone)))
    try:
        return Unsigned([Edit(start, end, b"") for start, end in _cuts(body, gone)], places)
    except RequestRefused:
        return Unsigned(None, places)


def _unsigned(message: Any) -> list[bool]:
    """By block of an answer: whether it goes."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return []
    content = message.get("content")
    return [_is_unsigned(block) for block in content] if isinstance(content, list) else []


def _is_unsigned(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == _TYPE
        and not may_be_anthropics(block.get("signature"))
    )


def _places(gone: list[list[bool]]) -> Iterator[tuple[int, int | None]]:
    for number, blocks in enumerate(gone):
        if _is_empty(blocks):
            yield number, None
        else:
            for block, goes in enumerate(blocks):
                if goes:
                    yield number, block


def _is_empty(blocks: list[bool]) -> bool:
    """Whether nothing is left of a message."""
    return bool(blocks) and all(blocks)


def _cuts(body: bytes, gone: list[list[bool]]) -> list[Span]:
    walk, cuts = Walk(body), list[Span]()
    spans = list(walk.items(value_start(body, _MESSAGES)))
    empty = list(map(_is_empty, gone))
    cuts += without(spans, empty)
    for span, blocks, goes in zip(spans, gone, empty, strict=True):
        if any(blocks) and not goes:
            # of members of one name the last counts, as it does where the body was parsed
            [*_, content] = [one.value for one in walk.members(span.start) if one.name == "content"]
            cuts += without(list(walk.items(content.start)), blocks)
    return cuts
