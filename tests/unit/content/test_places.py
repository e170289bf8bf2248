"""Bytes of text are found again where they are written, in long strings and behind folding too."""

import orjson
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.content.folding import Folding
from pilotage_extproc.content.json_strings import is_json
from pilotage_extproc.content.places import LONG_BYTES, Place, long_place

PIECES = ["a", "é", "价", "😀", '"', "\\", "\n", "\u200b", "\uff41", "mail@host.example"]
WRITTEN = ["\\n", '\\"', "\\\\", "\\u0041", "\\u00e9", "\\ud83d\\ude00", "\\/", "é", "😀", "x", "u0041"]


def read_long(raw: bytes) -> Place:
    steps = long_place(raw, 0)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from(WRITTEN), min_size=1, max_size=12), st.integers(0, 12))
def test_a_long_string_reads_as_a_short_one_wherever_its_blocks_end(pieces: list[str], before: int) -> None:
    unit = "".join(pieces).encode()
    raw = b"x" * before + unit * (2 * LONG_BYTES // len(unit) + 1)
    assert read_long(raw).text == orjson.loads(b'"%b"' % raw).encode()


def test_an_escape_that_there_is_not_is_no_string() -> None:
    for wrong in (b"\\x", b"\\u12", b"\\ud83d"):
        with pytest.raises(orjson.JSONDecodeError):
            read_long(b"a" * LONG_BYTES + wrong)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.data())
def test_what_is_found_in_folded_text_is_found_in_the_text(text: str, data: st.DataObject) -> None:
    folding = Folding()
    folded = folding.folded(text.encode())
    # by hand: which character of the text each byte of the folded one is of
    of: list[tuple[int, int]] = []
    at = 0
    for char in text:
        size = len(char.encode())
        of += [(at, at + size)] * len(folding.folded(char.encode()))
        at += size
    assert len(of) == len(folded)
    if folded:
        start = data.draw(st.integers(0, len(folded) - 1))
        end = data.draw(st.integers(start + 1, len(folded)))
        assert folding.breaks(text.encode()).span(start, end) == (of[start][0], of[end - 1][1])


VALUE = st.recursive(
    st.text(max_size=5) | st.integers(-9, 9) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(VALUE, st.data())
def test_what_another_parser_takes_is_json(value: object, data: st.DataObject) -> None:
    text = orjson.dumps(value)
    assert is_json(text)
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        orjson.loads(cut)
    except orjson.JSONDecodeError:
        assert not is_json(cut)
    else:
        assert is_json(cut)


def test_deep_nesting_is_no_fault() -> None:
    assert is_json(b"[" * 100_000 + b"]" * 100_000) in (True, False)
