"""Change members of a JSON object in place, as bytes; every other byte stays as it was.

Key order, number formats and whitespace matter to order-sensitive structured output and to prefix
caches, so bodies are never serialised again. A body is known to be a valid JSON object before it
comes here.

Finding a top-level member without reading the whole object in Python: every string that may be its
key is found at C speed. One such string in a body that has the member is the member. Where there
are several (a tool's schema with a property `model`, an attack), each is given a name of its own
and the body is parsed once more: the names that turn up at the top level are the members.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_BEFORE_COLON = rb"(?=[ \t\r\n]*+:)"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_QUOTE = 0x22
_ESCAPED_BYTES = 6
"""Of one character written as `\\u006d`."""
_LARGE = 16_384
"""Bytes from which looking at the distances between quotes beats looking for the key."""
_BLOCK = 1 << 18
"""Bytes looked at in one go: what numpy makes of them stays in the processor's cache."""
_FEW = 64
"""Strings that are looked at one by one sooner than sieved."""
_FEW_QUOTES = 512
"""Quotes that are looked for one by one."""
_MOST_KEYS = 10_000
"""Members of one name, at all depths, in a body that is still looked into. A tool's schema has a few."""


class MemberName:
    """The name of a member, of ASCII letters, digits and underscores, ready to be looked for."""

    def __init__(self, name: str) -> None:
        raw = name.encode()
        self.name = name
        self.literal = b'"%b"' % raw
        """The key as everyone writes it."""
        parts = (rb"(?:%c|\\u00(?i:%02x))" % (char, char) for char in raw)
        self.pattern = re.compile(b'"%b"%b' % (b"".join(parts), _BEFORE_COLON))
        """The key with any of its characters escaped, which no encoder does but an attacker may."""
        self.shortest = len(raw) + 1
        """Bytes from the one quote to the other."""
        self.longest = _ESCAPED_BYTES * len(raw) + 1
        digit = b"%02x" % raw[-1]
        self.first = _is_one_of(raw[:1] + b"\\")
        """By byte: whether it can stand first in the key."""
        self.last = _is_one_of(raw[-1:] + digit[1:].lower() + digit[1:].upper())


def _is_one_of(chars: bytes) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(chars)] = True
    return table


MODEL = MemberName("model")
CACHE_SALT = MemberName("cache_salt")
STREAM_OPTIONS = MemberName("stream_options")


class Edit(NamedTuple):
    """Bytes `start` to `end` become `text`."""

    start: int
    end: int
    text: bytes


_PLACE: Final = itemgetter(0, 1)


def edited(body: bytes, edits: list[Edit]) -> bytes:
    """The body with edits that do not overlap, copied once; those of one place come in the order given."""
    parts: list[bytes] = []
    at = 0
    for start, end, text in sorted(edits, key=_PLACE):
        parts += (body[at:start], text)
        at = end
    parts.append(body[at:])
    return b"".join(parts)


def splice_model(body: bytes, model: str) -> bytes:
    """The body with another model name.

    Raises RequestRefused (400) where `model` stands more than once, KeyError where it is not a
    string of the top level.
    """
    return edited(body, [string_set(body, MODEL, model)])


def string_set(body: bytes, member: MemberName, value: str) -> Edit:
    """The edit that gives a member, which must be a string now, another value."""
    start = value_start(body, member)
    old = _STRING.match(body, start)
    if old is None:
        raise KeyError(member.name)
    return Edit(start, old.end(), orjson.dumps(value))


def string_at(body: bytes, member: MemberName) -> str:
    """The value of a top-level member that is a string.

    Raises RequestRefused (400) where the member stands more than once, KeyError where it is no string.
    """
    found = _STRING.match(body, value_start(body, member))
    if found is None:
        raise KeyError(member.name)
    return str(orjson.loads(found.group()))


def members_added(brace: int, members: bytes, *, alone: bool) -> Edit:
    """The edit that puts members first into the object whose `{` is at `brace`.

    `members` is JSON text without braces; `alone` says that the object has no others.
    """
    after = brace + 1
    return Edit(after, after, members if alone else members + b",")


def check_single(body: bytes, member: MemberName) -> None:
    """Refuse (400) a body in which a member it has stands more than once.

    An engine could read another one than the gateway decided by.
    """
    if len(body) <= _LARGE and (b"\\" not in body or b"\\u00" not in body):
        first = body.find(member.literal)
        if first >= 0 and body.find(member.literal, first + 1) < 0:
            return  # the only string that can be its key
    key_span(body, member)


def has_each_once(body: bytes) -> bool:
    """Whether each member of the outermost object is known to stand there once; False is not known.

    Told of bodies without spaces, or with one behind each sign: what is read of them is the whole body again.
    Some 0.3 ms a megabyte, where looking for each name takes several.
    """
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError):
        return False
    body = body.strip()
    return any(_is_written_as(body, members, *signs) for signs in ((b":", b","), (b": ", b", ")))


def _is_written_as(body: bytes, members: dict[str, msgspec.Raw], colon: bytes, comma: bytes) -> bool:
    at, before = 0, b"{"
    for name, value in members.items():
        key = b'%b"%b"%b' % (before, name.encode(), colon)
        raw = bytes(value)
        if not (body.startswith(key, at) and body.startswith(raw, at + len(key))):
            return False
        at, before = at + len(key) + len(raw), comma
    return body[at:] == b"}"


def value_start(body: bytes, member: MemberName) -> int:
    """Where the value of a top-level member begins.

    Raises RequestRefused (400) where the member stands more than once, KeyError where it is missing.
    """
    colon = _COLON.match(body, key_span(body, member)[1])
    if colon is None:
        raise KeyError(member.name)
    return colon.end()


def key_span(body: bytes, member: MemberName) -> tuple[int, int]:
    """Where the key of a top-level member stands, quotes included. Raises as `value_start` does."""
    keys = list(islice(_possible_keys(body, member), _MOST_KEYS + 1))
    if len(keys) > _MOST_KEYS:
        message = f"`{member.name}` stands more than {_MOST_KEYS} times in the request body."
        raise RequestRefused(Refusal.TOO_COMPLEX, message, param=member.name)
    if len(keys) != 1:
        keys = _top_level(body, keys)
    if len(keys) > 1:
        message = f"`{member.name}` stands more than once in the request body."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param=member.name)
    if not keys:
        raise KeyError(member.name)
    return keys[0]


def _possible_keys(body: bytes, member: MemberName) -> Iterable[tuple[int, int]]:
    """Start and end, quotes included, of each string before a colon that is the key or ends like it."""
    if len(body) > _LARGE:
        return _possible_keys_large(body, member)
    if b"\\" in body and b"\\u00" in body:
        return (found.span() for found in member.pattern.finditer(body))
    first = body.find(member.literal)
    if first < 0:
        return ()
    end = first + len(member.literal)
    if body.find(member.literal, end) < 0:
        return ((first, end),)
    return (found.span() for found in member.pattern.finditer(body, first))


def _possible_keys_large(body: bytes, member: MemberName) -> Iterator[tuple[int, int]]:
    """The same by the distances between quotes: one by one as long as they are few, which costs next to
    nothing a byte, and then in numpy."""
    shortest, longest = member.shortest, member.longest
    before = body.find(b'"')
    for _ in range(_FEW_QUOTES):
        quote = body.find(b'"', before + 1)
        if quote < 0:
            return
        if shortest <= quote - before <= longest:
            found = member.pattern.match(body, before)
            if found is not None:
                yield found.span()
        before = quote
    yield from _possible_keys_by_blocks(body, member, before)


def _possible_keys_by_blocks(body: bytes, member: MemberName, at: int) -> Iterator[tuple[int, int]]:
    """From `at` on: two quotes as far apart as the key's, with its first and last letters inside."""
    shortest, longest = member.shortest, member.longest
    content = np.frombuffer(body, np.uint8)
    for base in range(at, len(body), _BLOCK):
        block = content[base : base + _BLOCK + longest]
        quotes = (block == _QUOTE).nonzero()[0]
        gaps = quotes[1:] - quotes[:-1]
        near = ((gaps >= shortest) & (gaps <= longest)).nonzero()[0]
        if len(near) > _FEW:
            near = near[member.first[block[quotes[near] + 1]]]
            near = near[member.last[block[quotes[near + 1] - 1]]]
        for start in quotes[near].tolist():
            # a key that begins beyond the block is the next block's
            found = member.pattern.match(body, base + start) if start < _BLOCK else None
            if found is not None:
                yield found.span()


def _top_level(body: bytes, keys: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the possible keys that are keys of the outermost object."""
    mark = secrets.token_hex(8)  # nobody can have put it there
    quoted = b'"%b' % mark.encode()
    parts: list[bytes] = []
    at = 0
    for number, (start, end) in enumerate(keys):
        parts += (body[at:start], b'%b%d"' % (quoted, number))
        at = end
    parts.append(body[at:])
    try:
        members = orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError:
        return []
    if not isinstance(members, dict):
        return []
    return [keys[int(name.removeprefix(mark))] for name in members if name.startswith(mark)]
