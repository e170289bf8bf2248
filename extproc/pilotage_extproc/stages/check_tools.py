"""The tools that a request offers, within what its policy lets the model have."""

from collections.abc import Awaitable, Generator, Iterator, Mapping, Sequence
from typing import ClassVar, Final

from pilotage_extproc.content.repeated_members import repeated_members
from pilotage_extproc.dialects.call import Members
from pilotage_extproc.dialects.carried_tools import CONVERSATIONS, Carrier, carried, carriers
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.tool_edits import Changed, one_call_at_a_time, without_items, without_member
from pilotage_extproc.dialects.tool_lists import (
    KINDS,
    LISTS,
    MOST_TOOLS,
    SERVER_LISTS,
    SWITCHES,
    Offered,
    forced,
    hidden_in_template,
    malformed,
    must_call,
    offered,
    template,
)
from pilotage_extproc.dialects.user_text import user_text
from pilotage_extproc.domain.clock import Clock
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.gone_tools import GONE_TOOLS
from pilotage_extproc.request.handled import MOST_PLACES, Handled
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.readings import Readings, ReadingSources
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.rules.tool_bounds import ToolBounds
from pilotage_extproc.scheduling.relevance import by_relevance
from pilotage_extproc.stages.conversation import conversation_of
from pilotage_extproc.stages.parse import read_body
from pilotage_extproc.stages.turns import in_turns
from pilotage_extproc.state.tool_sets import ToolSets

_PAUSE_EVERY: Final = 32
_PARTS_AT_ONCE: Final = 512
_CHOICES: Final = ("tool_choice", "function_call", "parallel_tool_calls")


class CheckTools(Step):
    """Takes out what the policy does not let through."""

    name: ClassVar[str] = "tools"

    def __init__(
        self,
        policy: str,
        bounds: Sequence[ToolBounds],
        sets: ToolSets,
        current: CurrentIndex,
        sources: ReadingSources,
        clock: Clock,
    ) -> None:
        self.needs = frozenset().union(*(one.reads for one in bounds))
        self._policy = policy
        self._bounds = tuple(bounds)
        self._sets = sets
        self._current = current
        self._sources = sources
        self._clock = clock

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Choose the tools.

        Raises RequestRefused (400) where the request insists on one that goes, or lists tools twice.
        """
        if exchange.call.kind not in KINDS:
            return None
        changed = Changed(exchange.body)
        gone: list[Offered] = []
        return in_turns(self._keep(exchange, changed, gone), lambda: _take(exchange, changed, gone))

    def _keep(self, exchange: Exchange, changed: Changed, gone: list[Offered]) -> Iterator[None]:
        """Steps that take out what goes."""
        members = exchange.document.members
        if (yield from repeated_members(exchange.body, members)):
            message = "A member of the request stands twice: a server may read the tools of either."
            raise RequestRefused(Refusal.INVALID_FIELD, message)
        kind = exchange.call.kind
        switches = [name for name in SWITCHES if members.get(name) is not None]
        prompt = template(kind, members)
        carrying = yield from _carriers(exchange)
        listed = any(members.get(name) is not None for name in LISTS)
        hidden = prompt is not None or hidden_in_template(members)
        if not (listed or switches or carrying or hidden):
            return
        if wrong := malformed(members):
            raise RequestRefused(Refusal.INVALID_FIELD, f"`{wrong}` is no list of tools.", param=wrong)
        values = Readings(exchange, self._current.index, self._sources)
        bounds = [one for one in self._bounds if one.holds(values)]
        if not bounds:
            return
        self._refuse_unseen(members, prompt, bounds)
        count = sum(len(members.get(name) or ()) for name in LISTS)
        in_conversation = yield from self._in_conversation(exchange, carrying, count, bounds)
        count += _count(in_conversation)
        tools: list[Offered] = []
        allowed: list[Offered] = []
        for one in offered(kind, members):
            count += _count(one.within)
            _check_count(count)
            tools.append(one)
            if _is_allowed(one, bounds):
                allowed.append(one)
            if len(tools) % _PAUSE_EVERY == 0:
                yield
        stay = yield from self._within_maximum(exchange, allowed, in_conversation, bounds)
        staying = {(one.member, one.position) for one in stay}
        gone += [one for one in tools if (one.member, one.position) not in staying]
        switched_off = [name for name in switches if not _allows_type(SWITCHES[name], None, bounds)]
        stay = [*stay, *in_conversation]
        self._refuse_forced(members, gone, stay)
        left = any(one.member in ("tools", *CONVERSATIONS.values()) for one in stay)
        if gone and not left:
            self._refuse_orphans(exchange)
        one_call = any(one.one_call for one in bounds) and left
        choices = not in_conversation
        yield from self._edit(exchange, changed, gone, switched_off, choices=choices, one_call=one_call)

    def _refuse_unseen(self, members: Members, prompt: str | None, bounds: list[ToolBounds]) -> None:
        """Raises RequestRefused for a template that may bring tools: the provider's, or by its variables."""
        if prompt is not None and not _allows_type(prompt, None, bounds):
            message = (
                f"`prompt` names a template, whose tools are not seen here: the policy {self._policy}"
                f" does not allow {prompt[:128]!r}."
            )
            raise RequestRefused(Refusal.TOOL_NOT_ALLOWED, message, param="prompt")
        if hidden := hidden_in_template(members):
            message = (
                f"`{hidden}` has what a chat template may write as tools, and the policy {self._policy} has"
                " rules on them: send tools in `tools`."
            )
            raise RequestRefused(Refusal.TOOL_NOT_ALLOWED, message, param=hidden)

    def _in_conversation(
        self, exchange: Exchange, carrying: list[Carrier], count: int, bounds: list[ToolBounds]
    ) -> Generator[None, None, list[Offered]]:
        """Tools of the conversation; `count` are those outside of it.

        Raises RequestRefused where one is not allowed: no turn is taken apart.
        """
        found: list[Offered] = []
        _check_count(count)
        for carrier in carrying:
            for one in carried(exchange.call.kind, exchange.document.members, carrier):
                count += 1 + _count(one.within)
                _check_count(count)
                if not _is_allowed(one, bounds):
                    message = (
                        f"`{one.member}[{one.position}]` offers {one.name[:128]!r}: the policy {self._policy}"
                        " does not allow it."
                    )
                    raise RequestRefused(Refusal.TOOL_NOT_ALLOWED, message, param=one.member)
                found.append(one)
            yield
        return found

    def _within_maximum(
        self,
        exchange: Exchange,
        allowed: list[Offered],
        in_conversation: list[Offered],
        bounds: list[ToolBounds],
    ) -> Generator[None, None, list[Offered]]:
        """At most so many of the client's tools, those of the conversation before first."""
        most = min((one.maximum for one in bounds if one.maximum is not None), default=None)
        named = [one for one in allowed if not one.provider_run]
        if most is None:
            return allowed
        most -= sum(not one.provider_run for one in in_conversation)
        conversation, now = conversation_of(exchange), self._clock()
        before = frozenset() if conversation is None else self._sets.of(conversation, now)
        before |= frozenset(_used(exchange)) | frozenset(forced(exchange.document.members))
        stay = [one for one in named if one.name in before]
        others = [one for one in named if one.name not in before]
        if len(stay) < most and others:
            text = user_text(exchange.call.kind, exchange.document.members).text
            order = yield from by_relevance(text, [one.words for one in others])
            stay += [others[index] for index in order[: most - len(stay)]]
        if conversation is not None:
            self._sets.offered(conversation, frozenset(one.name for one in stay), now)
        staying = {(one.member, one.position) for one in stay}
        return [one for one in allowed if one.provider_run or (one.member, one.position) in staying]

    def _refuse_forced(self, members: Members, gone: list[Offered], stay: list[Offered]) -> None:
        """Raises RequestRefused where `tool_choice` insists on what goes."""
        wanting = {one.name for one in gone} - {one.name for one in stay}
        for name in forced(members):
            if name in wanting:
                message = (
                    f"`tool_choice` asks for {name[:128]!r}, which the policy {self._policy} does not allow."
                )
                raise RequestRefused(Refusal.TOOL_NOT_ALLOWED, message, param="tool_choice")
        if gone and not stay and must_call(members):
            names = ", ".join(repr(one.name[:128]) for one in gone[:MOST_PLACES])
            message = f"`tool_choice` asks for a call, and the policy {self._policy} allows none of {names}."
            raise RequestRefused(Refusal.TOOL_NOT_ALLOWED, message, param="tool_choice")

    def _refuse_orphans(self, exchange: Exchange) -> None:
        """Raises RequestRefused where the API takes no calls in a history without any tool."""
        if exchange.call.kind is CallKind.MESSAGES and (used := _used(exchange)):
            names = ", ".join(repr(name[:128]) for name in used[:MOST_PLACES])
            message = f"The history calls {names}; the policy {self._policy} allows no tool of the request."
            raise RequestRefused(Refusal.TOOL_NOT_ALLOWED, message, param="tools")

    def _edit(
        self,
        exchange: Exchange,
        changed: Changed,
        gone: list[Offered],
        switched_off: list[str],
        *,
        choices: bool,
        one_call: bool,
    ) -> Iterator[None]:
        members = exchange.document.members
        emptied: set[str] = set()
        for member in LISTS:
            indices = {one.position for one in gone if one.member == member}
            if indices and len(indices) == len(members[member]):
                emptied.add(member)
                yield from without_member(changed, member)
            elif indices:
                yield from without_items(changed, member, indices)
        for name in switched_off:
            yield from without_member(changed, name)
        own = [name for name in LISTS if name not in SERVER_LISTS]
        left = [name for name in own if members.get(name) and name not in emptied]
        if choices and emptied - set(SERVER_LISTS) and not left:
            for name in _CHOICES:
                if name in members:
                    yield from without_member(changed, name)
        if one_call:
            yield from one_call_at_a_time(changed, exchange.call.kind, members)


def _carriers(exchange: Exchange) -> Generator[None, None, list[Carrier]]:
    found: list[Carrier] = []
    for count, one in enumerate(carriers(exchange.call.kind, exchange.document.members), 1):
        if one is not None:
            found.append(one)
        if count % _PARTS_AT_ONCE == 0:
            yield
    return found


def _count(tools: Sequence[Offered]) -> int:
    return len(tools) + sum(_count(one.within) for one in tools)


def _check_count(tools: int) -> None:
    if tools > MOST_TOOLS:
        message = f"The request offers more than {MOST_TOOLS} tools."
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="tools")


def _is_allowed(tool: Offered, bounds: list[ToolBounds]) -> bool:
    if not all(_is_allowed(one, bounds) for one in tool.within):
        return False
    if tool.provider_run:
        return _allows_type(tool.name, tool.also, bounds)
    return all(one.allows(name) for one in bounds for name in (tool.name, tool.also) if name is not None)


def _allows_type(name: str, also: str | None, bounds: list[ToolBounds]) -> bool:
    """Whether every rule lets what the provider runs through, by one of its names."""
    return all(one.allows_type(name) or (also is not None and one.allows_type(also)) for one in bounds)


def _used(exchange: Exchange) -> tuple[str, ...]:
    """Tools that its history has calls of."""
    try:
        return DIALECTS[exchange.call.kind].facts.tools_used(exchange.document.members)
    except UnknownFactError:
        return ()


def _take(exchange: Exchange, changed: Changed, gone: list[Offered]) -> None:
    by_list = {name: tuple([one.position for one in gone if one.member == name]) for name in LISTS}
    numbers: Mapping[str, tuple[int, ...]] = {name: found for name, found in by_list.items() if found}
    if numbers or exchange.kept(GONE_TOOLS):  # it may have waited, and be looked at once more
        exchange.keep(GONE_TOOLS, numbers)
    if changed.body is exchange.body:
        return
    if gone:
        places = tuple(one.position for one in gone[:MOST_PLACES])
        exchange.checked((*exchange.handled, Handled("tools", "remove", len(gone), places)))
    exchange.rewritten(changed.body, read_body(exchange.call.kind, changed.body))
