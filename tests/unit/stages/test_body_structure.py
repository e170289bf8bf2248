"""The bound on a body's structure: what would take seconds to parse is refused before it is."""

import time
from collections.abc import Callable

import orjson
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.stages import body_structure as guard
from pilotage_extproc.stages.body_structure import check_structure, structure_checked

LIMIT = 262_144


def refused(body: bytes, limit: int = LIMIT) -> bool:
    try:
        check_structure(body, limit)
    except RequestRefused as refusal:
        assert refusal.reason is Refusal.TOO_COMPLEX
        assert refusal.reason.http_status == 400
        return True
    return False


@pytest.mark.parametrize(
    ("unit", "cost"), [(b"[],", 3), (b"1 ,", 1), (b"1,", 0.5), (b'{"":0},', 5), (b'"",', 1), (b"[[]],", 5)]
)
def test_brackets_and_colons_count_double_and_commas_behind_numbers_half(unit, cost):
    at_most = int((LIMIT - 2) / cost)
    assert not refused(b"[" + unit * at_most + b"0]")
    assert refused(b"[" + unit * (at_most + 1) + b"0]" + b" " * LIMIT)


@pytest.mark.parametrize(
    "text",
    [b"1,2,", b"[],{}", b"a: b", b'\\",\\"', b"\\\\,", b'\\\\\\",,'],
    ids=["csv", "code", "colons", "quotes", "slashes", "both"],
)
def test_what_stands_in_strings_does_not_count(text):
    body = b'{"model":"m","messages":[{"role":"user","content":"' + text * LIMIT + b'"}]}'
    orjson.loads(body)
    assert not refused(body)


@pytest.mark.parametrize("hide", [b'"', b'"\\', b'"\\\\', b'"\\"', b'{"a":"b\\'])
def test_structure_cannot_be_hidden_behind_a_broken_string(hide):
    """What looks as if in a string to the count ends the parser at once, or is refused."""
    body = hide + b"[]," * LIMIT
    if not refused(body):
        began = time.process_time()
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(body)
        assert time.process_time() - began < 0.05


def test_an_object_of_very_many_different_keys_is_refused():
    """2.9 MB of them delayed other requests by 150 ms."""
    keys = b",".join(b'"some-key-%d":0' % number for number in range(180_000))
    assert refused(b'{"model":"m",' + keys + b"}")


def test_a_body_shorter_than_the_bound_is_not_looked_at():
    assert not refused(b"[" * LIMIT)
    assert refused(b"[" * (LIMIT + 1))


JSON_VALUE = st.recursive(
    st.text(max_size=6) | st.sampled_from(['\\"', ",", "[", "\\", "{,}"]) | st.integers(0, 999),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


def counted(value) -> int:
    """Twice the brackets, braces and commas of a value, the closing ones as its own; a colon is two."""
    if isinstance(value, dict):
        inner = list(value.values())
        return 4 + 4 * len(inner) + commas(inner) + sum(map(counted, inner))
    if isinstance(value, list):
        return 4 + commas(value) + sum(map(counted, value))
    return 0


def commas(values: list) -> int:
    """Twice the commas between values: one behind a number is a half."""
    return sum(1 if isinstance(value, int) else 2 for value in values[:-1])


@given(JSON_VALUE, st.sampled_from([1, 2, 3, 7, 1 << 18]))
@settings(max_examples=examples(300), deadline=None)
def test_the_count_is_the_number_of_structural_bytes_wherever_blocks_are_cut(value, block):
    body = orjson.dumps(value)
    structure = counted(value)
    before, guard._BLOCK = guard._BLOCK, block
    try:
        for limit in (structure // 2, (structure + 1) // 2, structure // 2 - 1):
            if limit >= 0 and len(body) > limit:
                assert refused(body, limit) == (structure > 2 * limit)
    finally:
        guard._BLOCK = before


def ids(count: int) -> bytes:
    return b"[" + b",".join(b"%d" % (number * 7919 % 128_000) for number in range(count)) + b"]"


@pytest.mark.parametrize(
    "prompt",
    [lambda: ids(210_000), lambda: b"[" + b",".join([ids(250)] * 1000) + b"]", lambda: ids(500_000)],
    ids=["a long prompt", "a batch", "half a million"],
)
def test_prompts_of_token_ids_are_served(prompt):
    assert not refused(b'{"model":"m","input":' + prompt() + b"}")


def filled(unit: Callable[[int], bytes], cost: float) -> bytes:
    """As many units as the bound lets through."""
    return b"[" + b",".join(map(unit, range(int((LIMIT - 4) / cost)))) + b"]"


WORST = {
    "lists": lambda: filled(lambda _: b"[[]]", 5),
    "objects": lambda: filled(lambda number: b'{"%06x":{}}' % number, 7),
    "keys": lambda: b"[{" + filled(lambda number: b'"%08x":1' % number, 2.5)[1:-1] + b"}]",
    "strings": lambda: filled(lambda number: b'"%06x"' % number, 1),
    "numbers": lambda: filled(lambda number: b"%d" % (10**17 + number), 0.5),
    "fractions": lambda: filled(lambda number: b"1.%015de-300" % (number * 7919), 0.5),
}


@pytest.mark.parametrize("shape", WORST)
def test_the_worst_body_that_passes_parses_within_half_a_second(shape):
    body = WORST[shape]()
    assert not refused(body)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        orjson.loads(body)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.5


def test_a_large_body_is_checked_with_pauses():
    assert sum(1 for _ in structure_checked(b" " * (4 << 20), LIMIT)) == 16
