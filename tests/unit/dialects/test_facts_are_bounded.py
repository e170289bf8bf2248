"""No body that is accepted holds the event loop up while conditions are told of it."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest

from pilotage_extproc.dialects.call import Facts
from pilotage_extproc.dialects.context_tokens import LARGE_BYTES, context_tokens
from pilotage_extproc.dialects.conversation import Media
from pilotage_extproc.dialects.looking import MOST_LOOKED_AT, UnknownFactError
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind

LONGEST_SECONDS = 0.03
"""Up to 9 ms on the machine this was written on, while others used it; before there were bounds, 99."""
KINDS = [CallKind.CHAT, CallKind.MESSAGES, CallKind.RESPONSES]
LONG = "one two " * 3_750_000
PART = {"type": ""}


def conversation(items: list[Any], **more: Any) -> dict[str, Any]:
    return {"messages": items, "input": items, **more}


def said(content: Any, role: str = "user") -> dict[str, Any]:
    return conversation([{"role": role, "content": content}])


WORST = {
    "empty parts": lambda: said([PART] * 85_000),
    "as many as are looked at": lambda: said([PART] * (MOST_LOOKED_AT - 1)),
    "messages": lambda: conversation([{"role": ""}] * 85_000),
    "results": lambda: conversation([{"role": "user", "content": [{"content": [PART]}]}] * 2_600),
    "tools": lambda: {**said("x"), "tools": [{"type": "a", "cache_control": 1}] * 60_000},
    "members": lambda: conversation([{f"k{number}": 1 for number in range(80_000)}]),
    "a long text": lambda: said(LONG),
    "a long system prompt": lambda: {**said(LONG, "system"), "system": LONG, "instructions": LONG},
    "a long type": lambda: said([{"type": LONG, "text": "x"}]),
    "a long name": lambda: {**said("x"), "tools": [{"name": LONG, "function": {"name": LONG}}]},
    "a large image": lambda: said([{"type": "image_url", "image_url": {"url": LONG}}]),
    "numbers": lambda: said([{"type": "x", "data": [1.5] * 500_000}]),
}


def seconds(told: Callable[[], object]) -> float:
    """CPU time, the least of three."""

    def once() -> float:
        began = time.thread_time()
        with suppress(UnknownFactError):
            told()
        return time.thread_time() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize("worst", WORST)
def test_no_fact_takes_long_whatever_the_body_holds(worst):
    body = orjson.dumps(WORST[worst]())
    members = orjson.loads(body)
    for kind in KINDS:
        for name in Facts.__slots__:
            fact = getattr(DIALECTS[kind].facts, name)
            assert seconds(lambda fact=fact: fact(members)) < LONGEST_SECONDS, (kind, name)
        taken = seconds(lambda kind=kind: context_tokens(kind, members, body))
        assert taken < LONGEST_SECONDS, (kind, "context_tokens")


def test_what_holds_more_than_is_looked_at_is_unknown():
    facts = DIALECTS[CallKind.CHAT].facts
    image = {"type": "image_url"}
    assert facts.media(said([image] * (MOST_LOOKED_AT - 1))) == Media(images=MOST_LOOKED_AT - 1)
    with pytest.raises(UnknownFactError):
        facts.media(said([image] * MOST_LOOKED_AT))
    with pytest.raises(UnknownFactError):
        facts.turns(conversation([{"role": "user"}] * (MOST_LOOKED_AT + 1)))
    with pytest.raises(UnknownFactError):
        facts.system_digest(said("x" * 1024 * 1025, "system"))


TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Finds the lines of a project's files that match a pattern.",
        "parameters": {"type": "object", "properties": {"pattern": {"type": "string"}}},
    },
}


@pytest.mark.parametrize(
    "members",
    [
        said("Why is the sky blue? " * 40_000),
        said("为什么天空是蓝色的？why? " * 30_000),
        conversation(
            [{"role": "user", "content": f"{number}: why is the sky blue? " * 20} for number in range(1500)]
        ),
        {**said("x" * LARGE_BYTES), "tools": [TOOL] * 300},
    ],
    ids=["English", "Chinese", "messages", "tools"],
)
def test_a_large_body_is_read_in_part_and_estimated_alike(members):
    body = orjson.dumps(members)
    assert len(body) > LARGE_BYTES
    whole = context_tokens(CallKind.CHAT, members)
    assert context_tokens(CallKind.CHAT, members, body) == pytest.approx(whole, rel=0.03)


def test_a_large_body_of_more_values_than_are_looked_at_is_taken_for_text():
    body = orjson.dumps(members := said([{"type": "x", "data": [1.5] * 200_000}]))
    assert context_tokens(CallKind.CHAT, members, body) > 100_000
