"""Read a parsed body by the tables of fields: what is not carried is noted or refused."""

import re
from typing import Any, Final

from pilotage_extproc.dialects.translation.fields import Fate, Field, Places
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_MOST_NOTES: Final = 64
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,47}")
_INDEX: Final = re.compile(r"\.\d+(?=\.|$)")
_UNKNOWN: Final = Field(Fate.DROPPED, "unknown")


class Reading:
    """One body's way through a decoder and an encoder, with the notes of what was left out.

    Its methods raise RequestRefused (400), which names the field.
    """

    __slots__ = ("_notes", "_places")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """`field: what became of it`, each kind of place once, 64 at most; never text of the request."""
        return tuple(self._notes)

    def note(self, path: str, what: str) -> None:
        """Tell that a field is not carried as it was."""
        if len(self._notes) < _MOST_NOTES:
            self._notes[f"{_INDEX.sub('[]', path)}: {what}"] = None

    def members(self, value: Any, place: str, path: str) -> dict[str, Any]:
        """An object whose members are then known to be carried, or noted; raises where one is refused."""
        if not isinstance(value, dict):
            raise wrong(path, "must be an object")
        known = self._places[place]
        for name, member in value.items():
            field = known.get(name, _UNKNOWN)
            if field.fate is Fate.CARRIED or member is None or ... in field.plain or member in field.plain:
                continue
            shown = name if field is not _UNKNOWN or _PLAIN_NAME.fullmatch(name) else "(another member)"
            at = f"{path}.{shown}" if path else shown
            if field.fate is Fate.REFUSED:
                raise untranslatable(at, field.remark)
            self.note(at, f"dropped, {field.remark}" if field.remark else "dropped")
        return value


def wrong(path: str, how: str) -> RequestRefused:
    """The refusal of a field that its own API would refuse too."""
    return RequestRefused(Refusal.INVALID_FIELD, f"`{path}` {how}.", param=path)


def untranslatable(path: str, why: str) -> RequestRefused:
    """The refusal of a field that the provider's API has no way to say."""
    message = f"`{path}` cannot be translated for the provider of this model: {why}."
    return RequestRefused(Refusal.NOT_TRANSLATABLE, message, param=path)


def text(value: Any, path: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong(path, "must be a string")
    return value


def optional_text(value: Any, path: str) -> str | None:
    """A string, or None."""
    return None if value is None else text(value, path)


def items(value: Any, path: str) -> list[Any]:
    """A list; nothing is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(path, "must be a list")
    return value


def an_object(value: Any, path: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(path, "must be an object")
    return value


def optional_object(value: Any, path: str) -> dict[str, Any] | None:
    """An object, or None."""
    return None if value is None else an_object(value, path)


def integer(value: Any, path: str) -> int | None:
    """An integer, or None."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(path, "must be an integer")
    return value


def number(value: Any, path: str) -> float | None:
    """A number, or None."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise wrong(path, "must be a number")
    return value


def flag(value: Any, path: str) -> bool | None:
    """A boolean, or None."""
    if value is None:
        return None
    if not isinstance(value, bool):
        raise wrong(path, "must be true or false")
    return value
