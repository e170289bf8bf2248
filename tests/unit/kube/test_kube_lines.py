"""A stream cut anywhere gives the same lines."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_kube.errors import InvalidResponse
from pilotage_kube.lines import LineBuffer


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=10),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_lines_do_not_depend_on_where_the_stream_is_cut(lines, cuts):
    whole = b"".join(line + b"\n" for line in lines) + b"unfinished"
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    buffer = LineBuffer(1000)
    found = [line for begin, end in itertools.pairwise(places) for line in buffer.feed(whole[begin:end])]
    assert found == [line for line in lines if line]


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"x" * 11 + b"\n"]])
def test_a_line_past_the_bound_is_refused_before_it_is_whole(pieces):
    buffer = LineBuffer(10)
    with pytest.raises(InvalidResponse):
        for piece in pieces:
            list(buffer.feed(piece))
