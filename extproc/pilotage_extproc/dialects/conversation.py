"""What rules ask of conversations, in the terms that chat, Anthropic messages and Responses share."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from pilotage_api.conditions.variables import MAX_ITEMS, MAX_TEXT
from pilotage_extproc.dialects.looking import Looking, UnknownFactError
from pilotage_extproc.dialects.prompt_parts import text_bytes

_DEEPEST: Final = 4
"""Content within content that is looked into: parts of results of tools."""
_IMAGES: Final = frozenset({"image", "image_url", "input_image", "computer_screenshot", "image_pil"})
_AUDIO: Final = frozenset({"audio", "audio_url", "input_audio"})
_LONGEST_TYPE: Final = max(map(len, _IMAGES | _AUDIO))
_BARE_IMAGES: Final = frozenset({"image_url", "image_pil", "image_embeds"})
_BARE_AUDIO: Final = frozenset({"audio_url", "input_audio", "audio_embeds"})
_BARE: Final = _BARE_IMAGES | _BARE_AUDIO
"""Members by which vLLM takes a part for what they hold, though its type is missing or another."""
_NESTED: Final = ("content", "output")
_MOST_DIGESTED_BYTES: Final = 1024 * 1024
"""Of a system prompt: hashing as much takes 1 to 3 ms."""


class Media(NamedTuple):
    """What a list of messages holds beside text, results of tools included."""

    images: int = 0
    audio: int = 0


def asks_engine_for_json(members: dict[str, Any]) -> bool:
    """Whether vLLM's own member asks for a schema: `structured_outputs.json`, or the older `guided_json`."""
    own = members.get("structured_outputs")
    if isinstance(own, dict) and own.get("json") is not None:
        return True
    return members.get("guided_json") is not None


def text_of(value: Any) -> str | None:
    """A string that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def distinct(names: Iterable[Any]) -> tuple[str, ...]:
    """Strings that are not empty, each once, in their order.

    Ends behind the first that is longer than conditions read, and the first that is too many for them.
    """
    found: dict[str, None] = {}
    for name in names:
        if not isinstance(name, str) or not name:
            continue
        if len(name) > MAX_TEXT:  # hashing 30 MB takes 20 ms
            return (*found, name)
        found[name] = None
        if len(found) > MAX_ITEMS:
            break
    return tuple(found)


def media_in(items: Any) -> Media:
    """The media of a list of messages. Raises UnknownFactError where it holds too much to look at."""
    looking, images, audio = Looking(), 0, 0
    level = looking.objects(items)
    for _ in range(_DEEPEST):
        inner: list[dict[str, Any]] = []
        for item in level:
            for name in _NESTED:
                nested = item.get(name)
                if isinstance(nested, list):
                    inner += looking.objects(nested)
                elif isinstance(nested, dict):
                    inner += looking.objects([nested])
        if not inner:
            break
        for part in inner:
            kind = part.get("type")
            known = isinstance(kind, str) and len(kind) <= _LONGEST_TYPE
            if known and (kind in _IMAGES or kind in _AUDIO):
                images += kind in _IMAGES
                audio += kind in _AUDIO
            elif not _BARE.isdisjoint(part):
                images += not _BARE_IMAGES.isdisjoint(part)
                audio += not _BARE_AUDIO.isdisjoint(part)
        level = inner
    return Media(images, audio)


def digest_of(texts: Iterable[str]) -> str | None:
    """First 16 hexadecimal digits of the SHA-256 of some texts, joined by 0x1e; None where there is none.

    Raises UnknownFactError where they have more than a MiB.
    """
    found: list[bytes] = []
    left = _MOST_DIGESTED_BYTES
    for text in texts:
        if len(text) > left:
            raise UnknownFactError
        found.append(text_bytes(text))
        left -= len(found[-1])
    if left < 0:
        raise UnknownFactError
    return hashlib.sha256(b"\x1e".join(found)).hexdigest()[:16] if found else None


def texts_in(content: Any, looking: Looking) -> Iterator[str]:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        if content:
            yield content
        return
    for part in looking.objects(content):
        text = text_of(part.get("text"))
        if text is not None:
            yield text
