"""The estimate of tokens: how far it is off, and that no text makes it fail or slow."""

import random
import statistics
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.domain.token_classes import BOUNDARY, CLASS_OF_BYTE, CLASSES
from pilotage_extproc.domain.token_estimate import WHOLE_BYTES, estimate_tokens

COUNTED: list[dict[str, Any]] = orjson.loads(
    (Path(__file__).parents[2] / "fixtures/token_counts.json").read_bytes()
)
"""Own texts with the exact counts of four vocabularies, by quicktok 0.4.0."""
FITTED = ("o200k_base", "llama3", "qwen3")
OTHER_LANGUAGES = {"German", "French", "Spanish", "Russian", "Chinese", "Japanese", "Arabic"}


def error(counted: dict[str, Any]) -> float:
    exact = statistics.mean(counted["tokens"][name] for name in FITTED)
    return estimate_tokens(counted["text"].encode()) / exact - 1


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted["kind"])
def test_a_text_is_estimated_near_its_count(counted: dict[str, Any]):
    assert abs(error(counted)) <= (0.2 if counted["kind"] in OTHER_LANGUAGES else 0.13)


def test_english_code_and_json_are_off_by_a_twentieth_on_average():
    off = [abs(error(counted)) for counted in COUNTED if counted["kind"] not in OTHER_LANGUAGES]
    assert len(off) > 10
    assert statistics.mean(off) <= 0.05


def test_the_estimate_is_better_than_four_bytes_a_token():
    for foreign, times in ((False, 3), (True, 1)):
        texts = [counted for counted in COUNTED if (counted["kind"] in OTHER_LANGUAGES) == foreign]
        crude = [
            len(one["text"].encode()) / 4 / statistics.mean(one["tokens"][name] for name in FITTED) - 1
            for one in texts
        ]
        assert statistics.mean(map(abs, map(error, texts))) < statistics.mean(map(abs, crude)) / times


def test_an_empty_text_has_no_tokens_and_any_other_has_one():
    assert estimate_tokens(b"") == 0
    assert all(estimate_tokens(bytes([byte])) >= 1 for byte in range(256))


@given(st.binary(max_size=3000))
def test_any_bytes_have_between_one_token_and_three_a_byte(data: bytes):
    assert (1 if data else 0) <= estimate_tokens(data) <= 3 * len(data)


@given(st.text(max_size=1000), st.text(max_size=1000))
def test_a_text_has_about_as_many_tokens_as_its_two_halves(first: str, second: str):
    apart = estimate_tokens(first.encode()) + estimate_tokens(second.encode())
    assert abs(estimate_tokens((first + second).encode()) - apart) <= 5


@given(st.binary(max_size=1000), st.binary(max_size=1000))
def test_text_that_is_added_never_makes_it_less(text: bytes, more: bytes):
    assert estimate_tokens(text + more) >= estimate_tokens(text)


def test_every_byte_has_a_class():
    assert len(CLASS_OF_BYTE) == 256
    assert set(CLASS_OF_BYTE) == set(range(CLASSES))
    assert {byte for byte in range(128) if CLASS_OF_BYTE[byte] == BOUNDARY} == {
        *range(9), 11, 12, *range(14, 32), 127,
    }  # fmt: skip


def long_text(size: int) -> bytes:
    dice = random.Random(7)
    text = b""
    while len(text) < size:
        text += dice.choice(COUNTED)["text"].encode() + b"\n"
    return text[:size]


@pytest.mark.parametrize("size", [WHOLE_BYTES + 1, 220_000, 1_000_000])
def test_a_long_text_that_is_read_in_part_is_near_the_sum_of_its_pieces(size: int):
    text = long_text(size)
    whole = sum(estimate_tokens(text[start : start + WHOLE_BYTES]) for start in range(0, size, WHOLE_BYTES))
    assert estimate_tokens(text) == pytest.approx(whole, rel=0.06)


def test_a_text_too_long_to_be_read_whole_costs_no_more_than_one_that_is():
    def seconds(text: bytes) -> float:
        least = float("inf")
        for _ in range(15):
            begun = time.process_time()
            for _ in range(10):
                estimate_tokens(text)
            least = min(least, time.process_time() - begun)
        return least

    assert seconds(long_text(2_000_000)) < 4 * seconds(long_text(WHOLE_BYTES))
