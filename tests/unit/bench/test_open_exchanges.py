"""After its pick an open request holds no body, document or prompt text."""

import json

import pytest
from bench.open_exchanges import MOST_BYTES, PROMPT_BYTES, RESULTS, bytes_of_an_open_exchange


@pytest.mark.parametrize(("prompt_bytes", "count"), [(2_000, 2_000), (220_000, 300)])
async def test_an_open_exchange_is_small(prompt_bytes, count):
    """Fewer are open here: `python -m bench.open_exchanges` opens 10,000."""
    assert await bytes_of_an_open_exchange(prompt_bytes, count) <= MOST_BYTES


def test_the_committed_figures_are_of_ten_thousand_open_requests():
    report = json.loads(RESULTS.read_text())
    assert report["open"] == 10_000
    held = report["bytes_by_prompt_bytes"]
    assert sorted(held) == sorted(str(size) for size in PROMPT_BYTES)
    assert max(held.values()) <= MOST_BYTES
