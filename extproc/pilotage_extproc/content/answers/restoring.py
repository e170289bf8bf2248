"""Values of a request back in the text of its answer, in the place of their placeholders."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

import orjson

from pilotage_extproc.content.answers.url_watch import UrlWatch

_BEHIND: Final = 2
"""Characters that are looked at behind a placeholder: it may be the beginning of a host."""


class Originals:
    """Values by placeholder. In memory alone, for as long as the answer takes."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._names = sorted(values)
        self.longest = max(map(len, self._names), default=0)
        """Characters of the longest placeholder."""

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
        self._is_json: bool | None = None

    def feed(self, text: str, *, last: bool = False) -> str:
        """What may go on; behind the `last` piece nothing is held back."""
        if self._is_json is None and (begin := text.lstrip()):
            self._is_json = begin[0] in "{["
        text, self._held = self._held + text, ""
        out: list[str] = []
        at = 0
        while (bracket := text.find("[", at)) >= 0:
            self._pass(text[at:bracket], out)
            at = bracket
            end = text.find("]", bracket, bracket + self._originals.longest)
            value = self._originals.get(text[bracket : end + 1]) if end >= 0 else None
            if value is not None:
                if len(text) - end <= _BEHIND and not last:
                    break
                name, at = text[bracket : end + 1], end + 1
                hidden = self._watch.in_url(text[at : at + _BEHIND])
                out.append(name if hidden else self._written(value))
                self._watch.saw(name)
            elif end < 0 and not last and self._originals.begins(text[bracket:]):
                break
            else:
                self._pass("[", out)
                at += 1
        else:
            self._pass(text[at:], out)
            at = len(text)
        self._held = text[at:]
        return "".join(out)

    def _pass(self, text: str, out: list[str]) -> None:
        if text:
            self._watch.saw(text)
            out.append(text)

    def _written(self, value: str) -> str:
        """The value as it stands in JSON where the text is JSON."""
        return orjson.dumps(value)[1:-1].decode() if self._is_json else value
