"""Values of a request back in the text of its answer, in the place of their placeholders."""

import re
from bisect import bisect_left
from collections.abc import Generator, Mapping
from typing import Final

import orjson

from pilotage_extproc.content.answers.url_watch import UrlWatch
from pilotage_extproc.content.placeholders import LOOKS

_NAME: Final = re.compile(LOOKS)
_FIRST: Final = 256
_LONGEST_STEP: Final = 256
"""Characters."""
_ARRAY: Final = re.compile(r'\["\[{\]0-9tfn-]')
"""A placeholder begins with a capital letter."""
_BEHIND: Final = 2
"""Characters that are looked at behind a placeholder: it may be the beginning of a host."""


class Originals:
    """Values by placeholder. In memory alone, for as long as the answer takes."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._names = sorted(values)

    def __bool__(self) -> bool:
        return bool(self._names)

    def get(self, name: str) -> str | None:
        """The value of a placeholder, or None where it stands for none."""
        return self._values.get(name)

    def begins(self, text: str) -> bool:
        """Whether a placeholder begins so."""
        place = bisect_left(self._names, text)
        return place < len(self._names) and self._names[place].startswith(text)


class Restoring:
    """One text of an answer, which comes in pieces."""

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._watch = UrlWatch()
        self._held = ""
        self._begin = ""
        """The first two characters that are no blanks."""

    def steps(self, text: str, *, last: bool = False) -> Generator[None, None, str]:
        """The same as `feed`, in steps that take a millisecond at most."""
        if len(text) <= _LONGEST_STEP:
            return self.feed(text, last=last)
        out: list[str] = []
        for at in range(0, len(text), _LONGEST_STEP):
            out.append(self.feed(text[at : at + _LONGEST_STEP]))
            yield
        out.append(self.feed("", last=last))
        return "".join(out)

    def feed(self, text: str, *, last: bool = False) -> str:
        """What may go on; behind the `last` piece nothing is held back."""
        if len(self._begin) < 2:
            self._begin = (self._begin + "".join(text[:_FIRST].split()))[:2]
        text, self._held = self._held + text, ""
        out: list[str] = []
        at = 0
        for found in _NAME.finditer(text):
            name, (start, end) = found.group(), found.span()
            value = self._originals.get(name)
            if value is None:
                continue
            if len(text) - end < _BEHIND and not last:
                self._held = text[start:]
                self._pass(text[at:start], out)
                return "".join(out)
            self._pass(text[at:start], out)
            hidden = self._watch.in_url(text[end : end + _BEHIND])
            out.append(name if hidden else self._written(value))
            self._watch.saw(name)
            at = end
        # a name has one bracket in front: only the last one may be of a name that goes on
        bracket = text.rfind("[", at)
        if bracket < 0 or last or not self._originals.begins(text[bracket:]):
            bracket = len(text)
        self._held = text[bracket:]
        self._pass(text[at:bracket], out)
        return "".join(out)

    def _pass(self, text: str, out: list[str]) -> None:
        if text:
            self._watch.saw(text)
            out.append(text)

    def _written(self, value: str) -> str:
        """The value as it stands in JSON where the text is JSON."""
        is_json = self._begin[:1] == "{" or _ARRAY.match(self._begin) is not None
        return orjson.dumps(value)[1:-1].decode() if is_json else value
