"""Callers that `make fuzz` makes up: some of each kind, and each that ever found something."""

import logging

import pytest
from fuzz_frames import Caller, Failures

FOUND = (7,)
"""Seeds that broke a connection once."""


@pytest.mark.parametrize("seed", [*FOUND, *range(1_000, 1_150)])
async def test_no_caller_breaks_a_connection_or_leaves_anything_behind(seed):
    failures = Failures()
    logging.getLogger("pilotage_extproc").addHandler(failures)
    try:
        await Caller(seed).run()
    finally:
        logging.getLogger("pilotage_extproc").removeHandler(failures)
    assert not failures.records
