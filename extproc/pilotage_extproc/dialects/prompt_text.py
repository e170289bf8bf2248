"""A request's canonical prompt text: what an engine's prefix cache tells prompts apart by, in its order.

Chat templates put tool definitions and the system prompt first and messages after them, so the text
does too: a later turn of a conversation begins with all of the earlier one. It is hashed and thrown
away. An image or other media part stands for itself by its digest, as engines hash media apart from
the text, repeated to the weight of the tokens it becomes; also inside what a tool answered. Markers of
where a provider's cache should end (Anthropic's `cache_control`) move from turn to turn and are no
part of the prompt.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson
import xxhash

from pilotage_extproc.domain.head import CallKind

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
_MARKER: Final = "cache_control"
_NESTED: Final = ("content", "output")
"""Members that hold content of their own: Anthropic's tool results, outputs of calls in Responses."""
_DEEPEST: Final = 4
"""Content within content that is looked into; what is deeper is taken as the JSON it is."""
_MEDIA_TYPES: Final = ("image_url", "image", "audio", "audio_url", "video", "video_url", "file", "screenshot")
_MORE_MEDIA_TYPES: Final = frozenset({"document", "image_generation_call"})


def prompt_text(kind: CallKind, members: dict[str, Any]) -> bytes:
    """The text of a body whose members have been checked; empty where there is none to speak of.

    Raises TypeError where a part is nested too deeply to be written down as JSON.
    """
    parts: list[bytes] = []
    tools = members.get("tools")
    if tools:
        parts.append(_json(_unmarked(tools) if isinstance(tools, list) else tools))
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
    _add_content(_only(members.get("prompt")), parts)


def _embeddings(members: dict[str, Any], parts: list[bytes]) -> None:
    given = members.get("input")
    if given is None:
        _add_messages(members.get("messages"), parts)
    else:
        _add_content(_only(given), parts)


def _only(given: Any) -> Any:
    """A list of one prompt, text or token ids, is that prompt."""
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str | list):
        return given[0]
    return given


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
            _add_rest({name: value for name, value in message.items() if name not in _PLAIN_MESSAGE}, parts)


def _add_content(content: Any, parts: list[bytes], depth: int = 0) -> None:
    if isinstance(content, str):
        parts.append(_bytes(content))
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        for index, part in enumerate(content):
            if len(parts) >= _MOST_PARTS:
                parts.append(_json(content[index:]))
                return
            _add_part(part, parts, depth)
    elif isinstance(content, dict):
        _add_part(content, parts, depth)
    elif content is not None:
        parts.append(_json(content))  # strings or token ids of a completion


def _add_part(part: Any, parts: list[bytes], depth: int) -> None:
    if not isinstance(part, dict):
        parts.append(_json(part))
        return
    text = part.get("text")
    if isinstance(text, str) and part.get("type", "text") in _TEXT_TYPES:
        parts.append(_bytes(text))
    else:
        _add_rest(part, parts, depth)


def _add_rest(part: dict[str, Any], parts: list[bytes], depth: int = 0) -> None:
    """A part, or what a message has beside its role and content."""
    if _MARKER in part:
        part = {name: value for name, value in part.items() if name != _MARKER}
        if not part:
            return
    if _is_media(part):
        digest = xxhash.xxh3_128_digest(_json(part))
        parts.append(digest * (MEDIA_PART_BYTES // len(digest)))
        return
    nested = [name for name in _NESTED if isinstance(part.get(name), list | dict)]
    if not nested or depth >= _DEEPEST:
        parts.append(_json(part))
        return
    parts.append(_json({name: value for name, value in part.items() if name not in nested}))
    for name in nested:
        _add_content(part[name], parts, depth + 1)


def _unmarked(tools: list[Any]) -> list[Any]:
    if not any(isinstance(tool, dict) and _MARKER in tool for tool in tools):
        return tools
    return [
        {name: value for name, value in tool.items() if name != _MARKER} if isinstance(tool, dict) else tool
        for tool in tools
    ]


def _is_media(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and (kind.endswith(_MEDIA_TYPES) or kind in _MORE_MEDIA_TYPES)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _json(value: Any) -> bytes:
    return orjson.dumps(value)
