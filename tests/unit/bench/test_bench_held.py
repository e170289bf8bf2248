"""Streams that wait for a response hold little, and requests whose end is not reported are measured."""

from bench import held

MOST_BYTES = 10 << 10


async def test_a_stream_that_waits_for_its_response_holds_at_most_ten_kib():
    assert 1000 < await held.bytes_of_an_open_stream(300) < MOST_BYTES


async def test_memory_is_sampled_while_requests_come_that_nobody_reports_to_end():
    samples = await held.unreported(600)
    assert [sample["requests"] for sample in samples] == [0, 100, 200, 300, 400, 500, 600]
    assert all(sample["rss_mib"] > 0 for sample in samples)
