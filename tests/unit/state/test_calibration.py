"""Bytes a token are learned by model from engines' own counts."""

import pytest

from pilotage_extproc.domain.features import DEFAULT_BYTES_PER_TOKEN
from pilotage_extproc.state.calibration import TokenCalibration


def test_an_unknown_model_has_the_default():
    assert TokenCalibration().bytes_per_token("m") == DEFAULT_BYTES_PER_TOKEN


def test_the_first_count_is_taken_and_later_ones_move_it():
    calibration = TokenCalibration()
    calibration.observe("m", 3000, 1000)
    assert calibration.bytes_per_token("m") == 3.0
    for _ in range(200):
        calibration.observe("m", 5000, 1000)
    assert calibration.bytes_per_token("m") == pytest.approx(5.0, abs=0.01)
    assert calibration.bytes_per_token("other") == DEFAULT_BYTES_PER_TOKEN


@pytest.mark.parametrize(("prompt_bytes", "tokens"), [(100, 60), (4000, 0), (4000, 100_000), (100_000, 10)])
def test_counts_that_say_nothing_of_text_are_left_out(prompt_bytes, tokens):
    calibration = TokenCalibration()
    calibration.observe("m", prompt_bytes, tokens)
    assert calibration.bytes_per_token("m") == DEFAULT_BYTES_PER_TOKEN


def test_models_are_bounded():
    calibration = TokenCalibration()
    for number in range(3000):
        calibration.observe(f"m{number}", 3000, 1000)
    assert len(calibration._ratios) == 1024
