"""Parts of a canonical prompt text: what an engine's prefix cache tells prompts apart by, in its order.

Chat templates put tool definitions and the system prompt first and messages after them, so the text
does too: a later turn of a conversation begins with all of the earlier one. It is hashed and thrown
away. An image or other media part stands for itself by its digest, as engines hash media apart from
the text, repeated to the weight of the tokens it becomes; also inside what a tool answered. Markers of
where a provider's cache should end (Anthropic's `cache_control`) move from turn to turn and are no
part of the prompt.
"""

from typing import Any, Final

import orjson
import xxhash

MEDIA_TOKENS: Final = 576
"""What an image, sound or file counts as: LLaVA's count for an image (https://arxiv.org/abs/2304.08485).
Engines differ; its digest decides what is equal."""
MEDIA_PART_BYTES: Final = 4 * MEDIA_TOKENS
PART_END: Final = b"\x1e"
"""Behind each part, so that no two lists of parts have the same text."""
MOST_PARTS: Final = 2048
"""Told apart one by one; what follows is taken as the JSON it is, all at once. Parts cost microseconds
each: 33,000 tiny messages would hold other requests up for 0.2 s."""
_TEXT_TYPES: Final = ("text", "input_text", "output_text")
_PLAIN_MESSAGE: Final = frozenset({"role", "content"})
_PLAIN_MEMBERS: Final = len(_PLAIN_MESSAGE)
_MARKER: Final = "cache_control"
_UTF8: Final = "utf-8"
_SURROGATES: Final = "surrogatepass"
_NESTED: Final = ("content", "output")
"""Members that hold content of their own: Anthropic's tool results, outputs of calls in Responses."""
_DEEPEST: Final = 4
"""Content within content that is looked into; what is deeper is taken as the JSON it is."""
_MEDIA_TYPES: Final = ("image_url", "image", "audio", "audio_url", "video", "video_url", "file", "screenshot")
_MORE_MEDIA_TYPES: Final = ("document", "image_generation_call")


class Parts(list[bytes]):
    """The parts found so far."""

    all_text = True
    """Whether the engine sees this text and nothing else: no media, no token ids, nothing it has stored."""

    def add_text(self, text: str) -> None:
        """A text of the prompt, as the engine sees it."""
        self.append(text_bytes(text))

    def add_role(self, role: str, *, written: bool = True) -> None:
        """Whose words follow; a part of its own where templates write it down."""
        if written:
            self.add_text(role)

    def add_said(self, role: str, text: str) -> None:
        """Whose words, and the words: most messages are no more."""
        self.extend((role.encode(_UTF8, _SURROGATES), text.encode(_UTF8, _SURROGATES)))

    def add_json(self, value: Any) -> None:
        """A part that templates render in their own way. Raises TypeError where it is nested too deeply."""
        self.append(as_json(value))

    def add_media(self, part: dict[str, Any]) -> None:
        """A part that is no text."""
        digest = xxhash.xxh3_128_digest(as_json(part))
        self.append(digest * (MEDIA_PART_BYTES // len(digest)))
        self.all_text = False

    def add_unread(self, value: Any) -> None:
        """JSON that has not been looked into: anything may be in it."""
        self.add_json(value)
        self.all_text = False

    def add_values(self, values: Any) -> None:
        """Texts or token ids of a completion."""
        self.add_json(values)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            self.all_text = False


def add_tools(tools: Any, parts: Parts) -> None:
    """Tool definitions, without the markers of what a provider shall cache."""
    if tools:
        parts.add_json(_unmarked(tools) if isinstance(tools, list) else tools)


def only_prompt(given: Any) -> Any:
    """What a list of one prompt, text or token ids, holds; anything else as it is."""
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str | list):
        return given[0]
    return given


def add_messages(messages: Any, parts: Parts) -> None:
    """Messages of a chat: of each its role, its content, and what else it has."""
    if not isinstance(messages, list):
        return
    for index, message in enumerate(messages):
        if len(parts) >= MOST_PARTS:
            parts.add_unread(messages[index:])
            return
        if not isinstance(message, dict):
            parts.add_json(message)
            continue
        if len(message) > MOST_PARTS:
            parts.add_unread(message)
            continue
        content, role = message.get("content"), message.get("role")
        if isinstance(content, str) and isinstance(role, str) and len(message) == _PLAIN_MEMBERS:
            parts.add_said(role, content)
            continue
        parts.add_role(role if isinstance(role, str) else "")
        if isinstance(content, str):
            parts.add_text(content)
        elif content is not None:
            add_content(content, parts)
        if not message.keys() <= _PLAIN_MESSAGE:
            # tool calls, names, reasoning: templates render them behind the content
            add_rest({name: value for name, value in message.items() if name not in _PLAIN_MESSAGE}, parts)


def add_content(content: Any, parts: Parts, depth: int = 0) -> None:
    """A message's content: text, or a list of parts; or prompts as strings or token ids."""
    if isinstance(content, str):
        parts.add_text(content)
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        for index, part in enumerate(content):
            if len(parts) >= MOST_PARTS:
                parts.add_unread(content[index:])
                return
            _add_part(part, parts, depth)
    elif isinstance(content, dict):
        _add_part(content, parts, depth)
    elif content is not None:
        parts.add_values(content)


def _add_part(part: Any, parts: Parts, depth: int) -> None:
    if not isinstance(part, dict):
        parts.add_json(part)
        return
    text, kind = part.get("text"), part.get("type", "text")
    if isinstance(text, str) and isinstance(kind, str) and kind in _TEXT_TYPES:
        parts.add_text(text)
    else:
        add_rest(part, parts, depth)


def add_rest(part: dict[str, Any], parts: Parts, depth: int = 0) -> None:
    """A part, or what a message has beside its role and content."""
    if len(part) > MOST_PARTS:
        parts.add_unread(part)
        return
    if _MARKER in part:
        part = {name: value for name, value in part.items() if name != _MARKER}
        if not part:
            return
    if is_media(part):
        parts.add_media(part)
        return
    nested = [name for name in _NESTED if isinstance(part.get(name), list | dict)]
    if not nested:
        parts.add_json(part)
        return
    if depth >= _DEEPEST:
        parts.add_unread(part)
        return
    parts.add_json({name: value for name, value in part.items() if name not in nested})
    for name in nested:
        add_content(part[name], parts, depth + 1)


def _unmarked(tools: list[Any]) -> list[Any]:
    if len(tools) > MOST_PARTS or not any(isinstance(tool, dict) and _MARKER in tool for tool in tools):
        return tools
    return [
        {name: value for name, value in tool.items() if name != _MARKER} if isinstance(tool, dict) else tool
        for tool in tools
    ]


def is_media(part: dict[str, Any]) -> bool:
    """Whether a part of a message is an image, sound or file."""
    kind = part.get("type")
    return isinstance(kind, str) and (kind.endswith(_MEDIA_TYPES) or kind in _MORE_MEDIA_TYPES)


def text_bytes(text: str) -> bytes:
    """UTF-8, of lone surrogates too."""
    return text.encode(_UTF8, _SURROGATES)


def as_json(value: Any) -> bytes:
    """Raises TypeError where it is nested too deeply to be written down."""
    return orjson.dumps(value)
