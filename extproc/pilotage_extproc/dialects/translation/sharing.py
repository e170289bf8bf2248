"""What decoders of more than one API need: turns in order, images, schemas, effort."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pilotage_extproc.dialects.translation.common import (
    CacheMark,
    File,
    Image,
    JsonAnswer,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from pilotage_extproc.dialects.translation.reading import (
    an_object,
    flag,
    optional_object,
    optional_text,
    text,
    untranslatable,
    wrong,
)

_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
"""Reads all of a JSON text and makes nothing of it: the bound on a body's structure leaves strings out."""
_JSON_BLANKS: Final = " \t\r\n"
_DATA_URL: Final = re.compile(r"data:([a-z0-9.+/-]+);base64,", re.IGNORECASE)
_PDF: Final = "application/pdf"
_LONGEST_MEDIA_TYPE: Final = 100
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


_SAID_BY: Final = {
    Role.SYSTEM: (Text,),
    Role.USER: (Text, Image, File, ToolResult),
    Role.ASSISTANT: (Text, Thinking, ToolCall),
}


class Turns:
    """Turns as they come; consecutive parts of one role become one turn."""

    __slots__ = ("_parts", "_path", "_role", "_turns")

    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._role: Role | None = None
        self._parts: list[Part] = []
        self._path = ""

    def add(self, role: Role, parts: Iterable[Part], path: str) -> None:
        """Add a message. Raises RequestRefused (400) where it has parts that its role cannot say."""
        parts = tuple(parts)
        if not all(isinstance(part, _SAID_BY[role]) for part in parts):
            raise wrong(f"{path}.content", f"has a part that is not the {role.value}'s")
        if role is not self._role:
            self._close()
            self._role, self._path = role, path
        self._parts.extend(parts)

    def all(self) -> list[Turn]:
        """The turns that have parts."""
        self._close()
        return self._turns

    def _close(self) -> None:
        if self._role is not None and self._parts:
            self._turns.append(Turn(self._role, tuple(self._parts), self._path))
        self._role, self._parts = None, []


def plain_text(value: str, cache: CacheMark | None = None) -> tuple[Text, ...]:
    """One part, or none of empty text."""
    return (Text(value, cache),) if value else ()


def image_at(url: str, path: str, detail: str | None = None, cache: CacheMark | None = None) -> Image:
    """The image of a `data:` or `http(s):` address."""
    if found := _DATA_URL.match(url, 0, _LONGEST_MEDIA_TYPE):
        data = url[found.end() :]
        return Image(media_type=found[1].lower(), data=data, detail=detail, cache=cache, path=path)
    if url.startswith(("http://", "https://")):
        return Image(url=url, detail=detail, cache=cache)
    raise wrong(path, "must be a base64 `data:` address or an `http(s):` one")


def pdf_in(data: str, name: str | None, path: str, cache: CacheMark | None = None) -> File:
    """The PDF of a file's data: a `data:` address, or base64 text alone."""
    if found := _DATA_URL.match(data, 0, _LONGEST_MEDIA_TYPE):
        if found[1].lower() != _PDF:
            raise untranslatable(path, "only PDFs can be carried")
        data = data[found.end() :]
    return File(data, name, cache)


def json_object_text(value: Any, path: str) -> str:
    """Arguments of a call, as text that is known to be a JSON object; of an empty text the empty object."""
    arguments = text(value, path)
    if not arguments.strip():
        return "{}"
    try:
        _RAW.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        is_object = False
    else:
        is_object = arguments.lstrip(_JSON_BLANKS).startswith("{")
    if not is_object:
        raise untranslatable(path, "arguments of a call must be a JSON object")
    return arguments


def json_schema(value: Any, path: str) -> JsonAnswer:
    """The schema of an answer: `{name, description, schema, strict}`."""
    form = an_object(value, path)
    return JsonAnswer(
        schema=optional_object(form.get("schema"), f"{path}.schema") or {},
        name=text(form.get("name", "answer"), f"{path}.name"),
        description=optional_text(form.get("description"), f"{path}.description"),
        strict=flag(form.get("strict"), f"{path}.strict"),
    )


def effort(value: Any, path: str) -> str | None:
    """A known word for how much to think, or None."""
    word = optional_text(value, path)
    if word is not None and word not in EFFORTS:
        raise wrong(path, f"must be one of {', '.join(EFFORTS)}")
    return word
