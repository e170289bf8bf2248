"""An answer, or an event of one, without the texts that are looked at by themselves."""

from collections.abc import Iterator
from typing import Final

from pilotage_extproc.content.answers.rules import AnswerRules, FoundInAnswer
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.content.redaction import Redacted, Sighting, redaction, sightings
from pilotage_extproc.content.scan import Scan, TooMuchToCheckError
from pilotage_extproc.dialects.answers.leaves import Leaf, leaves
from pilotage_extproc.dialects.answers.parts import Part, Parts
from pilotage_extproc.dialects.splice import Edit, edited

_EMPTY: Final = b'""'
_LARGE: Final = 64 * 1024
_MOST_VALUES: Final = 200_000


def marked(text: bytes, parts: Parts, into: list[Leaf]) -> Iterator[None]:
    """Steps that find what an API's answers have that is more than members."""
    return leaves(text, parts.__contains__, into)


def check_size(text: bytes) -> None:
    """Raises TooMuchToCheckError for a JSON text of so many values that to parse it takes seconds."""
    if len(text) > _LARGE and text.count(b",") + text.count(b"[") + text.count(b"{") > _MOST_VALUES:
        raise TooMuchToCheckError


def is_string(text: bytes, leaf: Leaf) -> bool:
    """Whether a value is one."""
    return text[leaf.start : leaf.start + 1] == b'"'


def without(text: bytes, gone: list[Leaf], parts: Parts) -> bytes:
    """The text with these values emptied: strings are empty, lists too, all else is null."""
    return edited(text, [Edit(leaf.start, leaf.end, _emptied(text, leaf, parts)) for leaf in gone])


def _emptied(text: bytes, leaf: Leaf, parts: Parts) -> bytes:
    if is_string(text, leaf):
        return _EMPTY
    repeated = parts[leaf.path] is Part.REPEATED
    return b"[]" if repeated and text[leaf.start : leaf.start + 1] == b"[" else b"null"


def checked(
    text: bytes, rules: AnswerRules, names: Placeholders, found: FoundInAnswer, into: list[bytes]
) -> Iterator[None]:
    """Steps that look at all strings of a JSON text, and put into `into` the text as it may go on.

    Raises AnswerBlockedError, TooMuchToCheckError, StillThereError.
    """
    yield from rules.scanner.steps(text, scan := Scan())
    seen: list[Sighting] = []
    yield from sightings(scan, seen)
    for one in seen:
        found.saw(one.kind)
    if not any(one.kind in rules.redacted for one in seen):
        into.append(text)
        return
    changed = Redacted(text)
    yield from redaction(scan, rules.scanner, names, rules.redacted, changed)
    into.append(changed.body)
