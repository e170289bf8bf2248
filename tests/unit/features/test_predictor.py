"""Weights are read back as they were written, refused when they are not, and sure of nothing unknown."""

import os

import msgspec
import numpy as np
import pytest

from pilotage_extproc.features.ngrams import BUCKETS, buckets_of
from pilotage_extproc.features.predictor import OTHER, Header, Predictor, PredictorError
from pilotage_extproc.features.weights_files import OFF, SHIPPED, SHIPPED_NAME, load_weights, read_predictor

HEADER = Header(
    name="small",
    columns=["domain:law", "domain:other", "strongGain", "familiar"],
    scales=[0.1, 0.1, 0.01, 0.1],
    biases=[0.0, 0.1, 0.2, 0.0],
    gain_prior=0.2,
    domain_margin=0.1,
    unfamiliar=0.0,
    familiar=0.5,
)


def weights() -> Predictor:
    table = np.zeros((BUCKETS, 4), np.int8)
    known = buckets_of(b"a contract before the court")
    table[known] = (10, 0, 20, 5)
    return Predictor(HEADER, table)


def test_a_text_like_those_of_training_gets_its_domain_and_gain():
    said = weights().predict(buckets_of(b"a contract before the court"))
    assert said.domain == "law"
    assert said.domain_confidence > 0.5
    assert said.gain is not None and said.gain > 0.2
    assert said.gain_confidence == pytest.approx(1.0)


@pytest.mark.parametrize("text", [b"", b"x", "我们".encode(), b"\xff\xfe\x00" * 40])
def test_of_a_text_like_none_the_mean_of_training_is_said(text):
    said = weights().predict(buckets_of(text))
    assert (said.domain, said.gain, said.gain_confidence) == (OTHER, 0.2, 0.0)


def test_what_was_written_is_read_back():
    made = weights()
    read = Predictor.read(made.packed())
    found = buckets_of(b"a contract")
    assert read.predict(found) == made.predict(found)
    assert read.header == HEADER


def changed(place: int) -> bytes:
    packed = bytearray(weights().packed())
    packed[place] ^= 1
    return bytes(packed)


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"", "is no predictor"),
        (b"PK\x03\x04 something else", "is no predictor"),
        (weights().packed().replace(b"predictor 1 ", b"predictor 9 ", 1), "is of version 9, not 1"),
        (changed(-1), "is corrupt: its digest"),
        (changed(200), "is corrupt: its digest"),
        (weights().packed()[:-1], "is corrupt: its digest"),
        (Predictor(HEADER, np.zeros((4, 4), np.int8)).packed(), "table does not fit"),
        (Predictor(msgspec.structs.replace(HEADER, scales=[1.0]), weights()._table).packed(), "does not fit"),
        (b"x" * (3 << 20), "more than 2097152 bytes"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(packed, why):
    with pytest.raises(PredictorError, match=why):
        Predictor.read(packed)


def test_the_shipped_file_is_small_and_says_where_it_comes_from():
    assert SHIPPED.stat().st_size <= 2 << 20
    header = read_predictor(SHIPPED).header
    assert header.name == SHIPPED_NAME
    assert "RouteLLM" in header.source
    assert "Apache-2.0" in header.licence


def test_the_shipped_weights_know_topics_and_keep_quiet_about_noise():
    shipped = read_predictor(SHIPPED)
    sure = b"How do I differentiate the function f(x) = x^3 and find where the derivative is zero?"
    assert shipped.predict(buckets_of(sure)).domain == "math"
    noise = shipped.predict(buckets_of(os.urandom(2000)))
    assert noise.domain == OTHER
    assert noise.gain_confidence < 0.05
    assert noise.gain == pytest.approx(shipped.header.gain_prior, abs=0.01)


def test_the_shipped_gain_is_off_until_it_is_named():
    assert load_weights(shipped_gain=None, gain_file=None).gain is None
    assert load_weights(shipped_gain=None, gain_file=None).no_gain == OFF
    assert load_weights(shipped_gain=SHIPPED_NAME, gain_file=None).gain is not None


def test_own_weights_come_before_the_shipped_ones(tmp_path):
    own = tmp_path / "own.predictor"
    own.write_bytes(weights().packed())
    loaded = load_weights(shipped_gain=SHIPPED_NAME, gain_file=str(own))
    assert loaded.gain is not None and loaded.gain.header.name == "small"
    assert loaded.domain is not None and loaded.domain.header.name == SHIPPED_NAME


@pytest.mark.parametrize("content", [None, b"broken"])
def test_a_file_that_cannot_be_used_is_done_without_and_said(tmp_path, content, caplog):
    own = tmp_path / "own.predictor"
    if content is not None:
        own.write_bytes(content)
    loaded = load_weights(shipped_gain=SHIPPED_NAME, gain_file=str(own))
    assert loaded.gain is None
    assert str(own) in loaded.no_gain
    assert "done without" in caplog.text
