"""How many tokens a request can cost at most, from its body alone.

A token is at least one byte of what it stands for, so a body has no more tokens of prompt than bytes, but
for what the chat template adds and what only stands for something larger. Whatever cannot be bounded is
refused: an upper bound that is sometimes wrong is none.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.splice import MemberName, check_single, has_each_once
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.choices import (
    EMBEDS,
    MOST_CHOICES,
    MULTIPLIERS,
    PROMPTS,
    RANKED,
    prompts_of,
)
from pilotage_extproc.request.dear_members import DEAR_MEMBERS, dear_member
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.own_text import depth_of, is_own_text
from pilotage_extproc.request.shaping import limit_sent

TEMPLATE_TOKENS: Final = 2048
"""Most that a chat template adds around messages and tools: headers, dates, instructions for tools."""
_INDENTED_LEVELS: Final = 8
"""Templates write tools with four spaces a level, of which sixteen are at most a token: so many levels cost
as much as the tools themselves, whose lines have two bytes at least."""
_TOOLS: Final = ("tools", "functions")
_READ_ONCE: Final = frozenset(
    {"messages", "system", *_TOOLS, *MULTIPLIERS, *RANKED, "query", EMBEDS, *PROMPTS, *DEAR_MEMBERS}
)
"""Members that a bound is made of: which of two a server reads nobody knows."""
_NAMES: Final[Mapping[str, MemberName]] = MappingProxyType(
    {
        name: MemberName(name)
        for name in _READ_ONCE.union(*(dialect.output_limits for dialect in DIALECTS.values()))
    }
)
_LONGEST_NAME: Final = max(map(len, _NAMES))
_LONG_BODY_BYTES: Final = 1 << 16


class MostCost(NamedTuple):
    """What a request of a hard budget can come to at most."""

    nano: int
    """Nano-dollars."""
    output_tokens: int
    """Of each of its choices."""
    choices: int = 1
    input_tokens: int = 0
    by_model: tuple[tuple[str, int], ...] = ()
    """Nano-dollars at each upstream model of its attempts."""
    reach: tuple[int, int] | None = None
    """Tokens of input and output that the models have room for, all prompts and choices together; None where
    one does not say."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Of input and output, all prompts and choices together."""
        return self.input_tokens, self.output_tokens * self.choices


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
        self._check_names()
        dear = dear_member(exchange.call.kind, self._members)
        if dear is not None:
            raise _unbounded(dear[1], dear[0])
        self.prompts, self._ranked = prompts_of(self._dialect, self._members)
        self.choices = self.prompts * self._choices()
        self.own_limit = limit_sent(exchange.shapings, self._own_limit())
        """Output tokens that the client, and then its policy, let each choice have; None is no bound."""
        self._whole = is_own_text(self._dialect, self._members, DEAR_MEMBERS)

    def most_input(self, context_window: int | None) -> int:
        """Tokens of input, all prompts together. Raises RequestRefused (400) where nothing bounds them."""
        window = None if context_window is None else context_window * self.prompts
        if not self._whole:
            if window is None:
                raise _unbounded("media and stored prompts need a model whose contextWindow is stated")
            return window
        size = self._size * (self.prompts if self._ranked else 1)
        templates = self.prompts if self._dialect.output_limits or self._ranked else 1
        most = size * self._rendered() + TEMPLATE_TOKENS * templates
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

    def _check_names(self) -> None:
        known_once = len(self._body) > _LONG_BODY_BYTES and has_each_once(self._body)
        for name in self._members:
            if name in _NAMES:
                if not known_once:
                    check_single(self._body, _NAMES[name])
            elif len(name) <= _LONGEST_NAME and name.lower() in _NAMES:
                message = f"`{name}` is read as `{name.lower()}` by some servers: write it so."
                raise RequestRefused(Refusal.INVALID_FIELD, message, param=name)

    def _rendered(self) -> int:
        """How many times its bytes a chat template makes of the body."""
        tools = [self._members[name] for name in _TOOLS if name in self._members]
        return 2 + max(map(depth_of, tools)) // _INDENTED_LEVELS if tools else 1

    def _choices(self) -> int:
        most = 1
        for name in MULTIPLIERS:
            most = max(most, self._integer(name) or 1)
        if most > MOST_CHOICES:
            raise _unbounded(f"`n` is at most {MOST_CHOICES}", "n")
        return most

    def _own_limit(self) -> int | None:
        limits = [self._integer(name) for name in self._dialect.output_limits]
        return min((limit for limit in limits if limit is not None), default=None)

    def _integer(self, name: str) -> int | None:
        """A member that must be a plain integer where it stands: engines read `"5"` and `5.0` as 5 too.

        Some read 0 as no limit at all.
        """
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            message = f"`{name}` must be an integer from 1."
            raise RequestRefused(Refusal.INVALID_FIELD, message, param=name)
        return value


def _unbounded(why: str, param: str | None = None) -> RequestRefused:
    message = f"A hard budget needs an upper bound of what the request can cost: {why}."
    return RequestRefused(Refusal.COST_NOT_BOUNDED, message, param=param)
