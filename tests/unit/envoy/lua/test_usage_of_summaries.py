"""Anthropic's summaries of a conversation are requests of their own, that its totals leave out."""

import json
from functools import cache
from typing import Any

import lupa.luajit21 as lupa
import pytest

from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.envoy.ext_proc.usage_reader import ResponseReader
from pilotage_extproc.envoy.lua.usage_filter import usage_script

_DRIVER = """
return function(pieces)
  local seen = {}
  for index = 1, #pieces do
    scan(new_scanner(reader(seen, true)), pieces[index])
  end
  return seen.input, seen.output, seen.cached, seen.cache_write, seen.reasoning, seen.cache_write_hour
end
"""
SUMMARY = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500}
CACHED = {"cache_read_input_tokens": 7, "cache_creation_input_tokens": 5}
TURN = {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000, **CACHED}
TOTALS: dict[str, Any] = {"input_tokens": 23_000, "output_tokens": 1_000, **CACHED}
HOUR = {"cache_creation": {"ephemeral_1h_input_tokens": 2, "ephemeral_5m_input_tokens": 3}}


@cache
def script() -> tuple[Any, Any]:
    runtime = lupa.LuaRuntime(encoding="latin-1", unpack_returned_tuples=True)
    return runtime, runtime.execute(usage_script() + _DRIVER)


def by_envoy(*events: dict[str, Any]) -> TokenUsage:
    """As the script in Envoy reads them."""
    runtime, read = script()
    texts = [json.dumps(event) for event in events]
    return TokenUsage(*(None if one is None else int(one) for one in read(runtime.table_from(texts))))


def by_picker(*events: dict[str, Any]) -> TokenUsage:
    """As the picker reads them where Envoy has no script."""
    reader = ResponseReader(event_stream=True)
    reader.feed(b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events))
    reader.close()
    return reader.usage


@pytest.fixture(params=[by_envoy, by_picker])
def usage_of(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_a_summary_used_is_added_to_the_totals(usage_of):
    said = {"usage": {**TOTALS, "iterations": [SUMMARY, TURN]}}
    assert usage_of(said) == TokenUsage(203_012, 4_500, 7, 5)


def test_summaries_have_caches_too(usage_of):
    summary = {**SUMMARY, **CACHED, **HOUR}
    said = {"usage": {**TOTALS, **HOUR, "iterations": [summary, TURN, summary]}}
    assert usage_of(said) == TokenUsage(23_012 + 2 * 180_012, 8_000, 21, 15, None, 6)


def test_in_a_stream_they_count_once_however_often_they_are_said(usage_of):
    began = {"type": "message_start", "message": {"usage": TOTALS}}
    ended = {"type": "message_delta", "usage": {"output_tokens": 900, "iterations": [SUMMARY]}}
    again = {"type": "message_delta", "usage": {"output_tokens": 1_000, "iterations": [SUMMARY]}}
    last = {"type": "message_delta", "usage": {"output_tokens": 1_001}}
    assert usage_of(began, ended, again, last) == TokenUsage(203_012, 4_501, 7, 5)


@pytest.mark.parametrize(
    "iterations",
    [None, [], [TURN], "compaction", [["compaction"]], {"type": "compaction"}, [1, "compaction"]],
)
def test_other_iterations_are_in_the_totals_already(usage_of, iterations):
    assert usage_of({"usage": {**TOTALS, "iterations": iterations}}) == TokenUsage(23_012, 1_000, 7, 5)
