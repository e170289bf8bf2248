"""How many tokens a request can cost at most, from its body alone.

A token is at least one byte of what it stands for, so a body has no more tokens of prompt than bytes, but
for what the chat template adds and what only stands for something larger. Whatever cannot be bounded is
refused: an upper bound that is sometimes wrong is none.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pilotage_extproc.dialects.call import BodyForm, Dialect, Members
from pilotage_extproc.dialects.looking import MOST_LOOKED_AT
from pilotage_extproc.dialects.splice import MemberName, check_single
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.shaping import limit_sent

TEMPLATE_TOKENS: Final = 2048
"""Most that a chat template adds around messages and tools: headers, dates, instructions for tools."""
_TEXT_PARTS: Final = frozenset(
    {
        "text",
        "input_text",
        "output_text",
        "summary_text",
        "refusal",
        "message",
        "tool_use",
        "tool_result",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "thinking",
        "redacted_thinking",
        "reasoning",
        "reasoning_text",
    }
)
"""Kinds of parts that hold their own text. Any other may stand for an image, a sound, a file."""
_OWN_TOOLS: Final = frozenset({"function", "custom", None})
"""Kinds of tools that only the client runs; others run at the provider, and cost what nobody can say."""
_MULTIPLIERS: Final = ("n", "best_of")
_MOST_CHOICES: Final = 1024
_NAMES: Final[Mapping[str, MemberName]] = MappingProxyType(
    {
        name: MemberName(name)
        for name in (
            *_MULTIPLIERS,
            *(limit for dialect in DIALECTS.values() for limit in dialect.output_limits),
        )
    }
)
_RANKED: Final = ("queries", "text_1", "data_1", "documents", "text_2", "items", "data_2")

_RANKED_NAMES: Final = frozenset(_RANKED)
_MORE: Final = "prompt_embeds"
_READ: Final = ("messages", "input", "system", "prompt")


class MostCost(NamedTuple):
    """What a request of a hard budget can come to at most."""

    nano: int
    """Nano-dollars."""
    output_tokens: int
    """Of each of its choices."""
    choices: int = 1


MOST_COST: Final = Note[MostCost]("mostCost")


class Bounds:
    """The bounds of one request's tokens. Constructing raises RequestRefused (400) where there is none."""

    def __init__(self, exchange: Exchange) -> None:
        self._dialect = DIALECTS[exchange.call.kind]
        self._members = exchange.document.members
        self._body = exchange.body
        sent = exchange.body if exchange.new_body is None else exchange.new_body
        self._size = max(len(sent), exchange.transformed_bytes)
        """An output budget's instructions are part of the prompt."""
        if self._dialect.body is BodyForm.MULTIPART:
            raise _unbounded("a form's file has no bound in tokens")
        self._check_tools()
        self.prompts, self._ranked = _prompts(self._dialect, self._members)
        self.choices = self.prompts * self._choices()
        self.own_limit = limit_sent(exchange.shapings, self._own_limit())
        """Output tokens that the client, and then its policy, let each choice have; None is no bound."""
        self._whole = self._is_whole()

    def most_input(self, context_window: int | None) -> int:
        """Tokens of input, all prompts together. Raises RequestRefused (400) where nothing bounds them."""
        window = None if context_window is None else context_window * self.prompts
        if not self._whole:
            if window is None:
                raise _unbounded("media and stored prompts need a model whose contextWindow is stated")
            return window
        size = self._size * (self.prompts if self._ranked else 1)
        most = (2 * size if "tools" in self._members else size) + TEMPLATE_TOKENS * self.prompts
        return most if window is None else min(most, window)

    def most_output(self, most: int | None) -> int:
        """Tokens of output of one choice; `most` is what the gateway lets it have.

        Raises RequestRefused (400) where neither that nor the client bounds them.
        """
        if not self._dialect.output_limits:
            return 0
        bounds = [one for one in (self.own_limit, most) if one is not None]
        if not bounds:
            name = self._dialect.output_limits[-1]
            raise _unbounded(f"set `{name}`", name)
        return min(bounds)

    def _check_tools(self) -> None:
        tools = self._members.get("tools")
        for tool in tools[:MOST_LOOKED_AT] if isinstance(tools, list) else ():
            kind = tool.get("type") if isinstance(tool, dict) else None
            if kind not in _OWN_TOOLS:
                raise _unbounded("tools that the provider runs have no bound", "tools")

    def _choices(self) -> int:
        most = 1
        for name in _MULTIPLIERS:
            most = max(most, self._integer(name) or 1)
        if most > _MOST_CHOICES:
            raise _unbounded(f"`n` is at most {_MOST_CHOICES}", "n")
        return most

    def _own_limit(self) -> int | None:
        limits = [self._integer(name) for name in self._dialect.output_limits]
        return min((limit for limit in limits if limit is not None), default=None)

    def _integer(self, name: str) -> int | None:
        """A member that must be a plain integer where it stands: engines read `"5"` and `5.0` as 5 too."""
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            message = f"`{name}` must be an integer from 0."
            raise RequestRefused(Refusal.INVALID_FIELD, message, param=name)
        check_single(self._body, _NAMES[name])
        return value

    def _is_whole(self) -> bool:
        """Whether the body holds all of the prompt's text, and nothing else."""
        members = self._members
        if members.get(_MORE) is not None:
            return False
        for name in self._dialect.stands_for_more:
            if members.get(name) is not None:
                return False
        for name in _READ:
            value = members.get(name)
            if value is not None and not isinstance(value, str) and not _is_text(value):
                return False
        return True


def _prompts(dialect: Dialect, members: Members) -> tuple[int, bool]:
    """Prompts that a completion is made for, each with answers of its own; else pairs that are ranked.

    The flag says that they are pairs: whatever stands once in the body may be read for each.
    """
    if dialect.output_limits and "prompt" in members:
        prompts = members["prompt"]
        if isinstance(prompts, list) and prompts and isinstance(prompts[0], str | list):
            return len(prompts), False
        return 1, False
    if _RANKED_NAMES.isdisjoint(members):
        return 1, False
    ranked = [len(many) for name in _RANKED if isinstance(many := members.get(name), list)]
    return max(1, *ranked) if ranked else 1, bool(ranked)


def _is_text(value: Any) -> bool:
    """Whether messages, or what stands in them, are nothing but text; too many to look at are not."""
    left = MOST_LOOKED_AT
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            kind = one.get("type")
            if kind is not None and kind not in _TEXT_PARTS:
                return False
            inner = list(_nested(one))
        elif isinstance(one, list):
            inner = [part for part in one if isinstance(part, dict | list)]
        else:
            continue
        left -= len(inner) + 1
        if left < 0:
            return False
        waiting += inner
    return True


def _nested(part: dict[str, Any]) -> Iterator[Any]:
    for name in ("content", "output"):
        inner = part.get(name)
        if isinstance(inner, list | dict):
            yield inner


def _unbounded(why: str, param: str | None = None) -> RequestRefused:
    message = f"A hard budget needs an upper bound of what the request can cost: {why}."
    return RequestRefused(Refusal.COST_NOT_BOUNDED, message, param=param)
