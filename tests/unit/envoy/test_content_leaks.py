"""A value that content rules find is in no error, log, record, metric, header or metadata."""

import json
import logging
from typing import Any

import orjson
import pytest
from effort import examples
from fake_stream import FakeStream, request_body, request_head
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_rig import BUNDLED, StreamRig, stream_rig

from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.recording.explanation import explain

VALUES = [
    ("email", "zoe.quill@hidden.example"),
    ("phone", "+49 30 901820"),
    ("payment-card", "4111 1111 1111 1111"),
    ("iban", "DE89370400440532013000"),
    ("us-ssn", "536-22-1234"),
    ("it-codice-fiscale", "RSSMRA85T10A562S"),
    ("ip-address", "192.168.77.20"),
    ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ("ticket", "TCK-778899"),
    ("projects", "blue heron"),
]
PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings"]
DETECTORS = ", ".join(dict.fromkeys(kind for kind, _ in VALUES))
MANIFESTS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {{name: small}}
spec:
  engine: vllm
  endpoints: [{{address: 10.0.0.1, port: 80}}]
  models: [{{name: small}}]
---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {{name: auto}}
spec:
  match: {{models: [auto]}}
  rules:
    - {{when: '"iban" in safety.kinds && request.stream', candidates: [{{model: small}}]}}
    - {{candidates: [{{model: small}}]}}
  governance:
    content:
      own: [{{name: ticket, pattern: 'TCK-[0-9]{{4,8}}'}}, {{name: projects, words: [blue heron]}}]
      request: [{{detectors: [{detectors}], action: {action}}}]
    tools: [{{deny: [gone]}}]
"""


def members(path: str, where: str, text: str) -> dict[str, Any]:
    """A request in which the text stands somewhere."""
    plain = text if where == "message" else "hi"
    said: dict[str, Any] = {"model": "auto", "stream": where == "tool"}
    if path == "/v1/responses":
        said |= {"input": plain, "instructions": text if where == "system" else "be kind"}
    elif path == "/v1/completions":
        said["prompt"] = plain
    elif path == "/v1/embeddings":
        said["input"] = [plain]
    else:
        said |= {"messages": [{"role": "user", "content": plain}], "max_tokens": 5}
        if where == "system":
            said["messages"].insert(0, {"role": "user", "content": [{"type": "text", "text": text}]})
    if where == "tool":
        said["tools"] = [
            {"type": "function", "name": "gone", "description": text, "function": {"name": "gone"}}
        ]
    if where == "member":
        said["metadata"] = {text: [text]}
    if where == "user":
        said["user"] = text
    return said


class Logged(logging.Handler):
    """All that is logged, whole."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()} {record.__dict__!r} {record.exc_info!r}"


async def told_of(rig: StreamRig, path: str, body: bytes) -> tuple[list[Any], str]:
    """What Envoy is told of a request, and what is recorded, logged and counted of it."""
    logged = Logged()
    root = logging.getLogger()
    before = root.level
    root.addHandler(logged)
    root.setLevel(logging.DEBUG)
    kept = ""
    try:
        stream = FakeStream(request_head(path), request_body(body))
        await rig.serve(stream, BUNDLED)
        record = await rig.pipeline.consider(RequestHead("POST", path, {}), body)
        kept = repr(record) + json.dumps(explain(record, "p"), default=str)
    except RequestRefused as refused:
        kept = f"{refused!r} {refused.headers()}"
    finally:
        root.removeHandler(logged)
        root.setLevel(before)
    return stream.got, kept + logged.text + rig.telemetry.exposition().decode()


def spellings(value: str) -> list[str]:
    """As it may be written."""
    return [value, value.replace(" ", ""), value.lower(), json.dumps(value)[1:-1]]


@pytest.fixture(params=["block", "redact", "flag"])
async def acting(request: pytest.FixtureRequest) -> tuple[str, StreamRig]:
    action = str(request.param)
    return action, await stream_rig(MANIFESTS.format(detectors=DETECTORS, action=action))


@settings(
    max_examples=examples(160), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    value=st.sampled_from(VALUES),
    path=st.sampled_from(PATHS),
    where=st.sampled_from(["message", "system", "tool", "member", "user"]),
    around=st.text(st.characters(codec="utf-8", exclude_categories=["Nd", "L"]), max_size=12),
)
async def test_a_value_is_told_to_nobody(
    acting: tuple[str, StreamRig], value: tuple[str, str], path: str, where: str, around: str
) -> None:
    action, rig = acting
    text = value[1]
    body = orjson.dumps(members(path, where, f"{around} {text} {around}"))
    got, kept = await told_of(rig, path, body)
    assert got
    for spelling in spellings(text):
        assert spelling not in kept
        for message in got:
            if action == "flag":  # goes on as it came, and nowhere else
                message.request_body.response.ClearField("body_mutation")
            assert spelling.encode() not in message.SerializeToString()
