"""Forms (`multipart/form-data`, RFC 7578) read strictly: where its short fields stand, nothing copied.

Model servers read forms with other parsers than this one. Whatever two parsers could read in two ways is
refused (400) and not guessed: a second model, quotes behind a backslash, folded headers, text before the
first or behind the last boundary. What is found is then what the server finds. A part's content is passed
over by one search for the boundary.
"""

import re
from dataclasses import dataclass
from typing import Final

from pilotage_extproc.dialects.splice import Edit
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

MAX_PARTS: Final = 128
"""An audio call has at most two dozen fields."""
MAX_HEADER_BYTES: Final = 4096
"""Of one part's headers together."""
MAX_VALUE_BYTES: Final = 4096
"""Of a field whose value is read; a longer one is passed over like a file."""
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
"""RFC 2046: 1 to 70 characters, no space at the end."""
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'\s*;\s*({_WORD})=(?:({_WORD})|"([^"\\]*)")')
_DISPOSITION_TYPE: Final = re.compile(rb"\s*form-data\s*(?=;|$)", re.IGNORECASE)
_DISPOSITION: Final = re.compile(
    rb'[ \t]*;[ \t]*(?P<key>%b)=(?:"(?P<quoted>(?:[^"\\]|\\(?!"))*)"|(?P<bare>[^\s";\\]+))' % _WORD.encode()
)
"""One parameter. A backslash may stand in a value (`C:\\a.wav`), but never before a quote."""
_NAME_INSIDE: Final = re.compile(rb";\s*name\s*=", re.IGNORECASE)
"""In a file name: a parser that splits at semicolons first would read it as the part's name."""
_ONCE: Final = frozenset({"model", "stream"})
"""Fields that are decided by."""
_PLAIN_ENCODINGS: Final = (b"7bit", b"8bit", b"binary")


@dataclass(slots=True, frozen=True)
class Field:
    """A field's value: its bytes are `start` to `end` of the body."""

    start: int
    end: int
    is_file: bool
    """Whether the part has a file name."""


@dataclass(slots=True, frozen=True)
class Form:
    """The fields of a form by name; of a name that stands more than once (a list) the first."""

    fields: dict[str, Field]
    boundary: bytes

    def text(self, body: bytes, name: str) -> str | None:
        """A field's value, or None where it is missing, a file, long, or not UTF-8."""
        field = self.fields.get(name)
        if field is None or field.is_file or field.end - field.start > MAX_VALUE_BYTES:
            return None
        try:
            return body[field.start : field.end].decode()
        except UnicodeDecodeError:
            return None


def boundary_of(content_type: str) -> bytes:
    """The boundary of a form by its content type. Raises RequestRefused (400)."""
    at = content_type.find(";")
    rest = content_type[at:] if at >= 0 else ""
    found: list[str] = []
    position = 0
    while position < len(rest):
        parameter = _PARAMETER.match(rest, position)
        if parameter is None:
            break
        if parameter[1].lower() == "boundary":
            found.append(parameter[2] if parameter[2] is not None else parameter[3])
        position = parameter.end()
    if rest[position:].strip(" \t;") or len(found) != 1 or _BOUNDARY.fullmatch(found[0]) is None:
        message = "content-type must name one boundary: multipart/form-data; boundary=…"
        raise RequestRefused(Refusal.BAD_FORM, message, param="content-type")
    return found[0].encode()


def read_form(body: bytes, content_type: str) -> Form:
    """Find a form's fields. Raises RequestRefused (400) that says what is wrong, quoting no value."""
    boundary = boundary_of(content_type)
    opening = b"--" + boundary
    delimiter = b"\r\n" + opening
    if not body.startswith(opening):
        raise _broken("does not begin with its boundary")
    fields: dict[str, Field] = {}
    at = len(opening)
    parts = 0
    while True:
        after = body[at : at + 2]
        if after == b"--":
            break
        if after != b"\r\n":
            raise _broken("has other text behind a boundary, or was cut off")
        parts += 1
        if parts > MAX_PARTS:
            raise RequestRefused(Refusal.TOO_COMPLEX, f"The form has more than {MAX_PARTS} parts.")
        head_end = body.find(b"\r\n\r\n", at, at + MAX_HEADER_BYTES + 4)
        if head_end < 0:
            raise _broken(f"has a part whose headers do not end within {MAX_HEADER_BYTES} bytes")
        name, is_file = _read_head(body[at + 2 : head_end])
        start = head_end + 4
        end = body.find(delimiter, start)
        if end < 0:
            raise _broken("does not end with its boundary: it was cut off")
        if name not in fields:
            fields[name] = Field(start, end, is_file)
        elif name in _ONCE:
            message = f"`{name}` stands more than once in the form."
            raise RequestRefused(Refusal.INVALID_FIELD, message, param=name)
        at = end + len(delimiter)
    if len(body) > at + 4 or body[at + 2 :] not in (b"", b"\r\n"):
        raise _broken("has text behind its last boundary")
    return Form(fields, boundary)


def _read_head(head: bytes) -> tuple[str, bool]:
    """The name of a part, and whether it is a file."""
    disposition: bytes | None = None
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or line[:1] in b" \t" or name != name.strip() or b"\r" in line or b"\n" in line:
            raise _broken("has a part with a malformed header")
        name = name.lower()
        if name == b"content-disposition":
            if disposition is not None:
                raise _broken("has a part with two content-disposition headers")
            disposition = value
        elif name == b"content-transfer-encoding" and value.strip().lower() not in _PLAIN_ENCODINGS:
            raise _broken("has a part with a content-transfer-encoding: send it as it is")
    if disposition is None:
        raise _broken("has a part without content-disposition")
    return _read_disposition(disposition)


def _read_disposition(value: bytes) -> tuple[str, bool]:
    kind = _DISPOSITION_TYPE.match(value)
    if kind is None:
        raise _broken("has a part that is no form-data")
    given: dict[bytes, bytes] = {}
    at = kind.end()
    value = value.rstrip(b" \t")
    while at < len(value):
        parameter = _DISPOSITION.match(value, at)
        if parameter is None:
            raise _broken('has a part whose name or file name is malformed: write quotes as "%22"')
        key = parameter["key"].lower()
        if key in given:
            raise _broken("has a part with two names or two file names")
        given[key] = parameter["quoted"] if parameter["quoted"] is not None else parameter["bare"]
        if b";" in given[key] and _NAME_INSIDE.search(given[key]):
            raise _broken("has a part whose file name holds another name")
        at = parameter.end()
    name = given.get(b"name")
    if name is None or b"name*" in given:
        raise _broken("has a part without a plain name")
    if b"\\" in name:
        raise _broken("has a part with a backslash in its name")
    try:
        return name.decode(), b"filename" in given or b"filename*" in given
    except UnicodeDecodeError:
        raise _broken("has a part whose name is not UTF-8") from None


def _broken(why: str) -> RequestRefused:
    return RequestRefused(Refusal.BAD_FORM, f"The form {why}.")


def text_set(form: Form, name: str, value: str) -> Edit:
    """The edit that gives a field, which must be there, another value."""
    field = form.fields[name]
    return Edit(field.start, field.end, value.encode())


def text_added(form: Form, name: str, value: str) -> Edit:
    """The edit that puts a field first into the form."""
    part = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    return Edit(0, 0, part % (form.boundary, name.encode(), value.encode()))
