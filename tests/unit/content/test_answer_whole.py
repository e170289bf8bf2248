"""Unstreamed answers of each API: looked at as a whole, spliced, or replaced by one that is filtered."""

import json
from typing import Any

import orjson
import pytest
from answering import rules, through, work

from pilotage_extproc.domain.head import CallKind

SECRET = "AKIAIOSFODNN7EXAMPLE"
EMAIL = "alice@mail.example"
MAIL = "[EMAIL_k3v4x2abq7]"
REDACT = rules("redact", ["email"])
BLOCK = rules("block", ["secret"])
USAGE = {"prompt_tokens": 3, "completion_tokens": 9}


def answer(kind: CallKind, text: str, **more: Any) -> bytes:
    """With the text, and a tool called with it."""
    arguments = json.dumps({"to": text})
    said: dict[CallKind, dict[str, Any]] = {
        CallKind.CHAT: {
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": text,
                        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}],
                    },
                    "finish_reason": "stop",
                }
            ]
        },
        CallKind.COMPLETIONS: {"choices": [{"index": 0, "text": text, "finish_reason": "stop"}]},
        CallKind.MESSAGES: {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "text", "text": text},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"to": text}},
            ],
            "stop_reason": "end_turn",
        },
        CallKind.RESPONSES: {
            "object": "response",
            "status": "completed",
            "output": [
                {"type": "message", "content": [{"type": "output_text", "text": text}]},
                {"type": "function_call", "name": "f", "arguments": arguments},
            ],
        },
    }
    return json.dumps({"id": "a", "model": "m", **said[kind], "usage": USAGE, **more}).encode()


KINDS = (CallKind.CHAT, CallKind.COMPLETIONS, CallKind.MESSAGES, CallKind.RESPONSES)
each = pytest.mark.parametrize("kind", KINDS)


@each
def test_values_go_and_every_other_byte_stays(kind: CallKind) -> None:
    body = answer(kind, f"write to {EMAIL} now")
    got = through([body[:50], body[50:]], work(REDACT, kind), stream=False)
    assert EMAIL.encode() not in got
    before, _, after = body.partition(EMAIL.encode())
    assert got.startswith(before)
    assert got.endswith(after.rpartition(EMAIL.encode())[2])
    clean = answer(kind, "nothing")
    assert through([clean], work(REDACT, kind), stream=False) == clean


@each
def test_a_filtered_answer_says_so_has_no_text_and_keeps_its_usage(kind: CallKind) -> None:
    got = through([answer(kind, f"key {SECRET} so")], work(BLOCK, kind), stream=False)
    assert SECRET.encode() not in got
    assert b"key " not in got
    said = orjson.loads(got)
    assert said["usage"] == USAGE
    assert said["id"] == "a"
    if kind is CallKind.MESSAGES:
        assert (said["stop_reason"], said["content"]) == ("refusal", [])
    elif kind is CallKind.RESPONSES:
        assert said["incomplete_details"] == {"reason": "content_filter"}
        assert (said["status"], said["output"]) == ("incomplete", [])
    else:
        assert said["choices"][0]["finish_reason"] == "content_filter"


@each
@pytest.mark.parametrize("member", ["id", "model", "usage"])
def test_what_a_server_hides_in_the_frame_of_an_answer_is_not_said_by_its_end(
    kind: CallKind, member: str
) -> None:
    body = orjson.loads(answer(kind, "nothing")) | {member: SECRET}
    said = orjson.loads(through([orjson.dumps(body)], work(BLOCK, kind), stream=False))
    assert member not in said
    kept = {"id", "model", "usage"} & body.keys() - {member}
    assert {name: said[name] for name in kept} == {name: body[name] for name in kept}


@each
def test_values_come_back_in_text_and_not_in_what_tools_are_called_with(kind: CallKind) -> None:
    body = answer(kind, f"mail {MAIL}, see https://x.example/{MAIL}")
    for made in (None, BLOCK):
        got = through([body], work(made, kind, {MAIL: EMAIL}), stream=False)
        assert got.count(EMAIL.encode()) == 1
        assert got == body.replace(MAIL.encode(), EMAIL.encode(), 1)


def test_an_answer_that_repeats_tokens_loses_them() -> None:
    body = json.loads(answer(CallKind.CHAT, "x"))
    body["choices"][0]["logprobs"] = {"content": [{"token": EMAIL, "bytes": list(EMAIL.encode())}]}
    got = through([orjson.dumps(body)], work(REDACT), stream=False)
    assert orjson.loads(got)["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("body", [b"{", b"no json", b"\xff"])
def test_what_cannot_be_read_is_filtered_or_passes_as_the_rule_says(body: bytes) -> None:
    refused = through([body], work(REDACT), stream=False)
    assert orjson.loads(refused)["choices"][0]["finish_reason"] == "content_filter"
    assert through([body], work(rules("redact", ["email"], refuses=False)), stream=False) == body


def test_an_answer_of_too_many_values_is_not_parsed() -> None:
    body = b'{"choices":[' + b"[]," * 250_000 + b"[]]}"
    assert b"content_filter" in through([body], work(REDACT), stream=False)


def test_errors_of_servers_are_looked_at_and_stay_errors() -> None:
    body = orjson.dumps({"error": {"message": f"bad {SECRET} for {EMAIL}", "code": 400}})
    assert EMAIL.encode() not in through([body], work(REDACT), stream=False, status=400)
    blocked = orjson.loads(through([body], work(BLOCK), stream=False, status=400))
    assert blocked["error"]["code"] == "content_blocked"
    assert SECRET not in json.dumps(blocked)
