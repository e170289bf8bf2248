"""Bodies that come in pieces are whole again, and cost what they are long."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.envoy.ext_proc.pieces import Pieces


@given(st.lists(st.binary(max_size=5)))
def test_pieces_are_joined_in_their_order_and_taken_once(parts):
    pieces = Pieces()
    for part in parts:
        pieces.add(part)
    assert pieces.take() == b"".join(parts)
    assert pieces.take() == b""


def test_a_body_of_one_piece_is_not_copied():
    pieces, body = Pieces(), b"x" * 1000
    pieces.add(body)
    pieces.add(b"")
    assert pieces.take() == body
    pieces.add(body)
    assert pieces.take() is body


def test_many_short_pieces_hold_little_more_than_their_bytes():
    pieces = Pieces()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(50_000):
            pieces.add(b"%d" % (1000 + number % 9000))
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held < 1.5 * 4 * 50_000
