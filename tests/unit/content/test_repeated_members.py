"""A member that stands twice is seen at any depth, and what stands once is let through."""

from typing import Any

import orjson
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.content.repeated_members import repeated_members


def repeated(body: bytes) -> bool:
    steps = repeated_members(body, orjson.loads(body))
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return bool(done.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1, "b" :2}}',
        b'[{"a":[[{"b":"x","\\u0062":"y"}]]}]',
        b'{"a":{"x":{}},"a":{}}',
        b'{"":1,"":1}',
    ],
)
def test_what_stands_twice_is_seen(body: bytes) -> None:
    assert repeated(body)


VALUE = st.recursive(
    st.text() | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=examples(400), deadline=None)
@given(VALUE, st.booleans())
def test_what_stands_once_is_let_through(value: Any, indented: bool) -> None:
    assert not repeated(orjson.dumps([value], option=orjson.OPT_INDENT_2 if indented else 0))
