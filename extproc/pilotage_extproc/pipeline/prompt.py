"""A request's canonical prompt text: what an engine's prefix cache tells prompts apart by, in its order.

Chat templates put tool definitions and the system prompt first and messages after them, so the text
does too: a later turn of a conversation begins with all of the earlier one. It is hashed and thrown
away. An image or other media part stands for itself by its digest, as engines hash media apart from
the text, repeated to the weight of the tokens it becomes.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson
import xxhash

from pilotage_extproc.domain.request import CallKind

MEDIA_PART_BYTES: Final = 2304
"""What an image, sound or file counts as: 576 tokens of four bytes, LLaVA's count for an image
(https://arxiv.org/abs/2304.08485). Engines differ; its digest decides what is equal."""
_END: Final = b"\x1e"
"""Behind each part, so that no two lists of parts have the same text."""
_MOST_PARTS: Final = 2048
"""Told apart one by one; what follows is taken as the JSON it is, all at once. Parts cost microseconds
each: 33,000 tiny messages would hold other requests up for 0.2 s."""
_TEXT_TYPES: Final = frozenset({"text", "input_text", "output_text"})
_PLAIN_MESSAGE: Final = frozenset({"role", "content"})


def prompt_text(kind: CallKind, members: dict[str, Any]) -> bytes:
    """The text of a body whose members have been checked; empty where there is none to speak of."""
    parts: list[bytes] = []
    tools = members.get("tools")
    if tools:
        parts.append(_json(tools))
    _READERS[kind](members, parts)
    parts.append(b"")
    return _END.join(parts)


def _chat(members: dict[str, Any], parts: list[bytes]) -> None:
    _add_messages(members.get("messages"), parts)


def _anthropic(members: dict[str, Any], parts: list[bytes]) -> None:
    system = members.get("system")
    if system:
        _add_content(system, parts)
    _add_messages(members.get("messages"), parts)


def _responses(members: dict[str, Any], parts: list[bytes]) -> None:
    instructions = members.get("instructions")
    if isinstance(instructions, str):
        parts.append(_bytes(instructions))
    given = members.get("input")
    if isinstance(given, list):
        _add_messages(given, parts)
    elif given is not None:
        _add_content(given, parts)


def _completion(members: dict[str, Any], parts: list[bytes]) -> None:
    _add_content(members.get("prompt"), parts)


def _embeddings(members: dict[str, Any], parts: list[bytes]) -> None:
    given = members.get("input")
    if given is None:
        _add_messages(members.get("messages"), parts)
    else:
        _add_content(given, parts)


_READERS: Final[dict[CallKind, Callable[[dict[str, Any], list[bytes]], None]]] = {
    CallKind.CHAT: _chat,
    CallKind.MESSAGES: _anthropic,
    CallKind.RESPONSES: _responses,
    CallKind.COMPLETIONS: _completion,
    CallKind.EMBEDDINGS: _embeddings,
}


def _add_messages(messages: Any, parts: list[bytes]) -> None:
    if not isinstance(messages, list):
        return
    for index, message in enumerate(messages):
        if len(parts) >= _MOST_PARTS:
            parts.append(_json(messages[index:]))
            return
        if not isinstance(message, dict):
            parts.append(_json(message))
            continue
        content = message.get("content")
        parts.append(_bytes(role) if isinstance(role := message.get("role"), str) else b"")
        if isinstance(content, str):
            parts.append(_bytes(content))
        elif content is not None:
            _add_content(content, parts)
        if not message.keys() <= _PLAIN_MESSAGE:
            # tool calls, names, reasoning: templates render them behind the content
            more = {name: value for name, value in message.items() if name not in _PLAIN_MESSAGE}
            parts.append(_json(more))


def _add_content(content: Any, parts: list[bytes]) -> None:
    if isinstance(content, str):
        parts.append(_bytes(content))
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        for index, part in enumerate(content):
            if len(parts) >= _MOST_PARTS:
                parts.append(_json(content[index:]))
                return
            _add_part(part, parts)
    elif isinstance(content, dict):
        _add_part(content, parts)
    elif content is not None:
        parts.append(_json(content))  # strings or token ids of a completion


def _add_part(part: Any, parts: list[bytes]) -> None:
    if isinstance(part, dict):
        text = part.get("text")
        if isinstance(text, str) and part.get("type", "text") in _TEXT_TYPES:
            parts.append(_bytes(text))
            return
        if _is_media(part):
            digest = xxhash.xxh3_128_digest(_json(part))
            parts.append(digest * (MEDIA_PART_BYTES // len(digest)))
            return
    parts.append(_json(part))


def _is_media(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and (
        kind.endswith(("image_url", "image", "input_audio", "audio_url", "video_url", "file"))
        or kind == "document"
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _json(value: Any) -> bytes:
    return orjson.dumps(value)
