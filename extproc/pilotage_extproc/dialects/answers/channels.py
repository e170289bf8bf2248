"""Which text a piece of a streamed answer goes on, and which texts end with an event, by API."""

from typing import Any, Final, NamedTuple

from pilotage_extproc.dialects.answers.leaves import Leaf
from pilotage_extproc.dialects.answers.parts import Part
from pilotage_extproc.domain.head import CallKind

Key = tuple[object, ...]
"""Tells texts of one answer apart: first what ends together."""
_OF_ARGUMENTS: Final = ("arguments", "input", "code")
_ALL_MESSAGE: Final = frozenset(("message_delta", "message_stop", "error"))
_ALL_RESPONSE: Final = frozenset(
    ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")
)


class Piece(NamedTuple):
    """That a value goes on a text."""

    key: Key
    part: Part


class Ends(NamedTuple):
    """Which texts end with an event."""

    keys: tuple[Key, ...] = ()
    """Those whose key begins so."""
    before: bool = False
    """Whether nothing of them may follow behind the event: what is held goes first."""


def piece_of(kind: CallKind, event: dict[str, Any], leaf: Leaf, part: Part) -> Piece | None:
    """The text that a value of an event goes on; None where it is whole, and no piece."""
    if kind is CallKind.CHAT or kind is CallKind.COMPLETIONS:
        choice = _choice(event, leaf.indexes[0])
        number: object = () if leaf.path[3:4] == ("content",) else leaf.indexes[1:]
        if leaf.path[3:4] == ("tool_calls",):
            call = event["choices"][leaf.indexes[0]]["delta"]["tool_calls"][leaf.indexes[1]]
            number = call.get("index", leaf.indexes[1])
        return Piece((choice, leaf.path, number), part)
    if kind is CallKind.MESSAGES:
        return Piece((event.get("index"), leaf.path[-1]), part)
    if leaf.path != ("delta",):
        return None
    said = str(event.get("type", "")).removesuffix(".delta")
    arguments = said.rpartition("_")[2] in _OF_ARGUMENTS
    key = (event.get("output_index"), event.get("content_index", event.get("summary_index")), said)
    return Piece(key, Part.ARGUMENTS if arguments else part)


def ends_of(kind: CallKind, event: dict[str, Any]) -> Ends:
    """Which texts end with an event."""
    if kind is CallKind.CHAT or kind is CallKind.COMPLETIONS:
        choices = event.get("choices")
        return Ends(
            tuple(
                [
                    (_choice(event, place),)
                    for place, one in enumerate(choices if isinstance(choices, list) else ())
                    if isinstance(one, dict) and one.get("finish_reason") is not None
                ]
            )
        )
    ended = _of_message(event) if kind is CallKind.MESSAGES else _of_response(event)
    return Ends(() if ended is None else (ended,), before=True)


def _of_message(event: dict[str, Any]) -> Key | None:
    type_ = event.get("type")
    if type_ == "content_block_stop":
        return (event.get("index"),)
    return () if type_ in _ALL_MESSAGE else None


def _of_response(event: dict[str, Any]) -> Key | None:
    type_ = event.get("type")
    if type_ in _ALL_RESPONSE:
        return ()
    if not isinstance(type_, str) or not type_.endswith(".done"):
        return None
    if type_ == "response.output_item.done":
        return (event.get("output_index"),)
    return (event.get("output_index"), event.get("content_index", event.get("summary_index")))


def _choice(event: dict[str, Any], place: int) -> object:
    choice = event["choices"][place]
    return choice.get("index", place) if isinstance(choice, dict) else place
