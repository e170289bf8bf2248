"""All text of a request, by who says it, for those who judge it without knowing any API.

Nothing is left out but the model's name, numbers, and what images, sound and files hold: a text that some
model server would not show to the model is among it, since another one may.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.prompt_parts import is_media

_MEMBERS_OF_ITEMS: Final = ("messages", "input")
_SYSTEM: Final = ("system", "instructions")
_PLAIN: Final = frozenset({"type", "text"})
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-\r\n]{256,}={0,2}")
_EACH_BYTES: Final = 32
"""What each text counts beside itself."""
_PAUSE_EVERY: Final = 256


VERSION: Final = 1
"""Of the schema that guards are asked in."""


class TooMuchTextError(Exception):
    """There is more text than is sent."""


class SpokenTexts:
    """The texts of one request."""

    def __init__(self, most_bytes: int) -> None:
        self.texts: list[dict[str, str]] = []
        """Each with its `role` and `text`, in their order."""
        self.media = 0
        """Images, sounds and files, which are not among them."""
        self._left = most_bytes

    def steps(self, members: Members) -> Iterator[None]:
        """Read a parsed body, with pauses.

        Raises TooMuchTextError, and TypeError where it is nested too deeply.
        """
        for name, value in members.items():
            if name == "model" or not value or isinstance(value, int | float):
                continue
            role = "system" if name in _SYSTEM else name
            if not isinstance(value, list):
                self._content(role, value)
                continue
            for count, item in enumerate(value, 1):
                if name in _MEMBERS_OF_ITEMS and isinstance(item, dict):
                    self._message(role, item)
                else:
                    self._content(role, item)
                if count % _PAUSE_EVERY == 0:
                    yield
        yield

    def question(self, call: str, model: str) -> bytes:
        """What guards are sent (docs/content.md). Raises TypeError for a name that is not Unicode."""
        return orjson.dumps(
            {"version": VERSION, "call": call, "model": model, "texts": self.texts, "media": self.media}
        )

    def _message(self, role: str, message: dict[str, Any]) -> None:
        said = message.get("role")
        role = said if isinstance(said, str) and said else role
        for part in content if isinstance(content := message.get("content"), list) else (content,):
            self._content(role, part)
        rest = {name: value for name, value in message.items() if name not in ("role", "content")}
        if rest and rest != {"type": "message"}:
            self._content(role, rest)

    def _content(self, role: str, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, dict):
            if is_media(value):
                value = self._without_media(value)
            elif value.keys() == _PLAIN and isinstance(value["text"], str):
                value = value["text"]
        self._add(role, value if isinstance(value, str) else orjson.dumps(value).decode())

    def _without_media(self, part: dict[str, Any]) -> Any:
        """The part without what is no text."""
        self.media += 1
        orjson.dumps(part)  # nested no deeper than can be walked
        return _stripped(part)

    def _add(self, role: str, text: str) -> None:
        if not text:
            return
        raw = text.encode("utf-8", "replace")
        self._left -= len(raw) + len(role) + _EACH_BYTES
        if self._left < 0:
            raise TooMuchTextError
        self.texts.append({"role": role.encode("utf-8", "replace").decode(), "text": raw.decode()})


def _stripped(value: Any) -> Any:
    """A value without strings that are a file's bytes."""
    if isinstance(value, dict):
        return {name: _stripped(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_stripped(one) for one in value]
    if isinstance(value, str) and (_is_data_url(value) or _BASE64.fullmatch(value)):
        return ""
    return value


def _is_data_url(text: str) -> bool:
    return text.startswith("data:") and ";base64," in text[:256]
