"""What rules ask of conversations, in the terms that chat, Anthropic messages and Responses share."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pilotage_extproc.dialects.prompt_parts import text_bytes

_DEEPEST: Final = 4
"""Content within content that is looked into: parts of results of tools."""
_IMAGES: Final = frozenset({"image", "image_url", "input_image", "computer_screenshot", "image_pil"})
_AUDIO: Final = frozenset({"audio", "audio_url", "input_audio"})
_NESTED: Final = ("content", "output")


def asks_engine_for_json(members: dict[str, Any]) -> bool:
    """Whether vLLM's own member asks for a schema: `structured_outputs.json`, or the older `guided_json`."""
    own = members.get("structured_outputs")
    if isinstance(own, dict) and own.get("json") is not None:
        return True
    return members.get("guided_json") is not None


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; none of anything else."""
    if isinstance(value, list):
        for one in value:
            if isinstance(one, dict):
                yield one


def text_of(value: Any) -> str | None:
    """A string that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def distinct(names: Iterable[Any]) -> tuple[str, ...]:
    """Strings that are not empty, each once, in their order."""
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def images_in(items: Any) -> int:
    """How many images a list of messages holds, results of tools included."""
    return sum(1 for part in _parts(items, 0) if part.get("type") in _IMAGES)


def audio_in(items: Any) -> int:
    """How many sounds a list of messages holds."""
    return sum(1 for part in _parts(items, 0) if part.get("type") in _AUDIO)


def _parts(items: Any, depth: int) -> Iterator[dict[str, Any]]:
    for item in objects(items):
        if depth:
            yield item
        if depth < _DEEPEST:
            for name in _NESTED:
                nested = item.get(name)
                yield from _parts([nested] if isinstance(nested, dict) else nested, depth + 1)


def digest_of(texts: Iterable[str]) -> str | None:
    """First 16 hexadecimal digits of the SHA-256 of some texts, joined by 0x1e; None where there is none."""
    found = [text_bytes(text) for text in texts]
    return hashlib.sha256(b"\x1e".join(found)).hexdigest()[:16] if found else None


def texts_in(content: Any) -> Iterator[str]:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        if content:
            yield content
        return
    for part in objects(content):
        text = text_of(part.get("text"))
        if text is not None:
            yield text
