"""The common form of a request: what chat completions, Anthropic messages and Responses all can say.

One decoder an API makes it of a parsed body, one encoder an API writes it. What only one API can say is not
here: `fields.py` says what becomes of it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """Who speaks a turn. Results of tools are the user's."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


CacheMark = dict[str, Any]
"""Anthropic's `cache_control`: the prompt is to be cached up to here."""


@dataclass(slots=True, frozen=True)
class Text:
    """Text that is not empty."""

    text: str
    cache: CacheMark | None = None


@dataclass(slots=True, frozen=True)
class Image:
    """An image: its bytes, as base64 text with a media type, or its address."""

    url: str | None = None
    media_type: str = ""
    data: str = ""
    detail: str | None = None
    cache: CacheMark | None = None
    path: str = ""
    """Where it stands in the request, for refusals."""


@dataclass(slots=True, frozen=True)
class File:
    """A PDF, as base64 text."""

    data: str
    name: str | None = None
    cache: CacheMark | None = None


@dataclass(slots=True, frozen=True)
class Thinking:
    """What a model thought, and the provider's proof of it; `redacted` holds it where it may not be read."""

    text: str = ""
    signature: str = ""
    redacted: str | None = None


@dataclass(slots=True, frozen=True)
class ToolCall:
    """A call of a tool that the model made."""

    id: str
    name: str
    arguments: str
    """JSON text of an object."""
    cache: CacheMark | None = None
    path: str = ""
    """Where its name stands in the request, for refusals."""


@dataclass(slots=True, frozen=True)
class ToolResult:
    """What a call of a tool gave."""

    call: str
    parts: tuple[Text | Image | File, ...]
    failed: bool = False
    cache: CacheMark | None = None
    path: str = ""
    """Where it stands in the request, for notes."""


Part = Text | Image | File | Thinking | ToolCall | ToolResult


@dataclass(slots=True, frozen=True)
class Turn:
    """Consecutive parts of one role."""

    role: Role
    parts: tuple[Part, ...]
    path: str = ""


@dataclass(slots=True, frozen=True)
class Tool:
    """A function that the client runs."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    """JSON schema of its arguments; None for a function without any."""
    strict: bool | None = None
    cache: CacheMark | None = None
    path: str = ""
    """Where its name stands in the request, for refusals."""


class Choosing(StrEnum):
    """How the model is to use tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(slots=True, frozen=True)
class ToolChoice:
    """How the model is to use tools; of `NAMED` which one."""

    mode: Choosing
    name: str = ""


@dataclass(slots=True, frozen=True)
class JsonAnswer:
    """The answer is to be JSON; without a schema, any object."""

    schema: dict[str, Any] | None = None
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None


@dataclass(slots=True, frozen=True)
class Reasoning:
    """How much the model is to think before it answers."""

    effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`."""
    budget_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class CommonRequest:
    """One request for the next turn of a conversation. Fields that are None ask for nothing."""

    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    stop_path: str = "stop"
    """What the request calls it, for refusals."""
    answer: JsonAnswer | None = None
    reasoning: Reasoning | None = None
    verbosity: str | None = None
    user: str | None = None
    stream: bool = False
    usage_wanted: bool = True
    """Whether the client gets the usage of a stream."""
