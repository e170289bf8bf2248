"""Conditions at run time: unknown values, missing headers, values too large, programs that are kept."""

import asyncio

import pytest

from pilotage_api.conditions import library
from pilotage_extproc.rules import condition as module
from pilotage_extproc.rules.condition import (
    DOES_NOT_HOLD,
    HOLDS,
    UNKNOWN,
    Conditions,
    Reason,
    Verdict,
    condition_of,
)

BODY = {"request.model": "a", "request.turns": 3, "request.toolNames": ["x"], 'headers["x-a"]': "1"}


def verdict(text: str, **changed: object) -> Verdict:
    values = {**BODY, **{name.replace("_", ".", 1): one for name, one in changed.items()}}
    return condition_of(text).holds(values.__getitem__)


def header(value: object, text: str) -> Verdict:
    return condition_of(text).holds({**BODY, 'headers["x-a"]': value}.__getitem__)


def test_a_condition_holds_or_does_not():
    assert verdict("request.turns > 2") is HOLDS
    assert verdict("request.turns > 3") is DOES_NOT_HOLD


def test_each_value_is_asked_for_once_and_no_other():
    asked: list[str] = []

    def values(name: str) -> object:
        asked.append(name)
        return BODY[name]

    found = condition_of(
        "request.turns > 2 && request.turns < 9 && headers['X-A'] == '1' && 'x-a' in headers"
    )
    assert found.holds(values) is HOLDS
    assert asked == ["request.turns", 'headers["x-a"]']
    assert found.reads == set(asked)


def test_an_unknown_value_that_matters_makes_the_rule_not_hold():
    found = verdict("request.turns > 2 && request.model == 'a'", request_turns=UNKNOWN)
    assert found == Verdict(holds=False, reason=Reason.UNKNOWN_VALUE, about=("request.turns",))
    assert not verdict("!(request.turns > 2)", request_turns=UNKNOWN).holds


def test_an_unknown_value_that_does_not_matter_changes_nothing():
    assert verdict("request.turns > 2 || request.model == 'a'", request_turns=UNKNOWN) is HOLDS
    assert verdict("request.turns > 2 && request.model == 'b'", request_turns=UNKNOWN) is DOES_NOT_HOLD


@pytest.mark.parametrize(
    "text", ["headers['x-a'] == '1'", "headers['x-a'] != '1'", "!(headers['X-A'] == '1')"]
)
def test_a_missing_header_neither_equals_nor_differs(text):
    found = header(None, text)
    assert found == Verdict(holds=False, reason=Reason.MISSING_HEADER, about=('headers["x-a"]',))


def test_whether_there_is_a_header_can_be_asked():
    assert header(None, "!('x-a' in headers)") is HOLDS
    assert header("", "'x-a' in headers && headers['x-a'] == ''") is HOLDS
    assert header(None, "'x-a' in headers && headers['x-a'] == '1'") is DOES_NOT_HOLD


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("request.model != 'b'", {"request_model": "a" * 1025}),
        ("request.model != 'b'", {"request_model": "é" * 513}),
        ("!('y' in request.toolNames)", {"request_toolNames": ["x"] * 65}),
        ("!('y' in request.toolNames)", {"request_toolNames": ["x" * 65] * 64}),
        ("!('y' in request.toolNames)", {"request_toolNames": ["é" * 33] * 64}),
        ("!('y' in request.toolNames)", {"request_toolNames": ["x" * 1025]}),
    ],
)
def test_values_that_are_too_large_are_unknown(text, values):
    assert verdict(text, **values).reason is Reason.TOO_LARGE


def test_values_as_large_as_may_be_are_read():
    assert verdict("request.model != 'b'", request_model="a" * 1024) is HOLDS
    assert verdict("'x' in request.toolNames", request_toolNames=["y" * 63] * 63 + ["x"]) is HOLDS
    assert header("a" * 1025, "headers['x-a'] != 'b'").reason is Reason.TOO_LARGE
    assert header("a" * 1025, "'x-a' in headers") is HOLDS


@pytest.mark.parametrize("text", ["request.turns / (request.turns - 3) > 1", "request.toolNames[9] == 'x'"])
def test_an_error_at_run_time_makes_the_rule_not_hold(text):
    assert verdict(text) == Verdict(holds=False, reason=Reason.ERROR)


@pytest.mark.parametrize("value", ["\ud800", b"a", 3, None, object()])
def test_values_of_another_kind_never_raise(value):
    assert (
        not condition_of("request.turns == 3").holds({"request.turns": value}.__getitem__).holds or value == 3
    )
    assert not header("\ud800", "headers['x-a'] == 'a'").holds


def test_a_text_that_cannot_be_compiled_here_never_holds(monkeypatch):
    monkeypatch.setattr(library, "available", lambda: False)
    found = condition_of("request.turns > 54321")
    assert found.holds(BODY.__getitem__).reason is Reason.NOT_SUPPORTED
    assert condition_of("no condition").holds(BODY.__getitem__).reason is Reason.NOT_SUPPORTED


async def test_programs_are_kept_by_their_text_and_forgotten_when_no_rule_has_it():
    conditions = Conditions()
    first = await conditions.compile(["request.turns > 1", "request.turns > 2", "request.turns > 1"])
    second = await conditions.compile(["request.turns > 2"])
    third = await conditions.compile(["request.turns > 1", "request.turns > 2"])
    assert second["request.turns > 2"] is first["request.turns > 2"] is third["request.turns > 2"]
    assert third["request.turns > 1"] is not first["request.turns > 1"]


async def test_many_conditions_are_compiled_in_turns(monkeypatch):
    """Others get the loop again and again while 2,000 are compiled: here, after each."""
    monkeypatch.setattr(module, "Turns", _EachTime)
    texts = [f"request.turns > {number}" for number in range(200)]
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await Conditions().compile(texts)
    task.cancel()
    assert others >= len(texts)


class _EachTime:
    async def give(self) -> None:
        await asyncio.sleep(0)
