"""Ask for a short answer: one sentence behind the last thing the user says, spliced into the body.

It stands last, so that what an engine has cached of the prompt stays of use.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.splice import Edit, MemberName, value_start

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_AFTER_KEY: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_MOST_TOKENS: Final = 20_000
"""Strings and brackets that are passed over: a few milliseconds."""
_WORDS_PER_TOKEN: Final = 0.75
_TEXT_PART: Final = {"messages": "text", "input": "input_text"}
_LISTS: Final = {name: MemberName(name) for name in _TEXT_PART}


def instruction(tokens: int) -> str:
    """The sentence."""
    words = max(1, int(tokens * _WORDS_PER_TOKEN))
    return f"Keep the whole answer within about {tokens} tokens ({words} words)."


def may_be_instructed(members: Members) -> bool:
    """Whether the last message is the user's and of text, so that a sentence can be put behind it."""
    for name in _TEXT_PART:
        given = members.get(name)
        if isinstance(given, str):
            return name == "input"
        if isinstance(given, list) and given:
            last = given[-1]
            return isinstance(last, dict) and last.get("role") == "user" and _is_text(last.get("content"))
    return False


def _is_text(content: Any) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and bool(content) and all(isinstance(part, dict) for part in content)


def instructed(body: bytes, members: Members, tokens: int) -> Edit | None:
    """The edit that asks for an answer of about so many tokens; None where the body has no place for it.

    Raises RequestRefused (400) where the list of messages stands more than once.
    """
    name = next((name for name in _TEXT_PART if name in members), None)
    if name is None or not may_be_instructed(members):
        return None
    start = value_start(body, _LISTS[name])
    if body[start : start + 1] == b'"':
        return _behind_text(body, start, tokens)
    last = _last_item(body, start)
    return None if last is None else _in_message(body, last, _TEXT_PART[name], tokens)


def _behind_text(body: bytes, start: int, tokens: int) -> Edit | None:
    text = _TOKEN.match(body, start)
    if text is None:
        return None
    end = text.end() - 1
    return Edit(end, end, b"\\n\\n" + instruction(tokens).encode())


def _tokens(body: bytes, start: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Strings and brackets of the value that begins there: first byte, start, end, and depth before it."""
    depth = 0
    for count, found in enumerate(_TOKEN.finditer(body, start)):
        if count > _MOST_TOKENS:
            return
        sign = body[found.start() : found.start() + 1]
        if sign in b"]}":
            depth -= 1
        yield sign, found.start(), found.end(), depth
        if sign in b"[{":
            depth += 1
        elif sign in b"]}" and depth == 0:
            return


def _last_item(body: bytes, start: int) -> int | None:
    """Where the last object of a list begins; None where the list is too long to be read."""
    last: int | None = None
    for sign, begin, _, depth in _tokens(body, start):
        if sign == b"{" and depth == 1:
            last = begin
        elif sign == b"]" and depth == 0:
            return last
    return None


def _in_message(body: bytes, start: int, kind: str, tokens: int) -> Edit | None:
    """Behind its content: in the string, or as one more part."""
    content: int | None = None
    for sign, begin, end, depth in _tokens(body, start):
        if content is not None:
            if depth == 1 and sign == b"]":
                part = {"type": kind, "text": instruction(tokens)}
                return Edit(begin, begin, b"," + orjson.dumps(part))
            continue
        if sign == b'"' and depth == 1:
            colon = _AFTER_KEY.match(body, end)
            if colon is None or orjson.loads(body[begin:end]) != "content":
                continue
            if body[colon.end() : colon.end() + 1] == b'"':
                return _behind_text(body, colon.end(), tokens)
            content = colon.end()
    return None
