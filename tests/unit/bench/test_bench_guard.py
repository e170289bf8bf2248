"""The guard of the request path replays real requests, and tells more from less."""

import json

import pytest
from bench import guard
from bench.replay.calibration import PIECES, Calibration
from bench.replay.sequence import CASES, Replay, least_mean


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_request_of_a_case_is_placed_and_takes_time(case):
    taken = await (await Replay.of(case)).run()
    assert len(taken) >= 40
    assert all(seconds > 0 for seconds in taken)


def test_the_least_of_each_piece_counts():
    assert least_mean([[3.0, 1.0], [2.0, 5.0]]) == 1.5


def test_calibration_takes_time_in_each_piece():
    taken = Calibration().run()
    assert len(taken) == PIECES
    assert all(seconds > 0 for seconds in taken)


@pytest.mark.parametrize(
    ("ratio", "told"), [(1.04, "ok"), (1.06, "OVER"), (0.96, "ok"), (0.9, "less: renew")]
)
def test_five_percent_more_is_over(ratio, told):
    assert guard.verdict("a case", ratio, 1.0).endswith(told)
    assert guard.is_over(ratio, 1.0) is (told == "OVER")


def test_a_ratio_is_committed_for_each_case():
    assert json.loads(guard.FILE.read_text())["cases"].keys() == {case.name for case in CASES}
