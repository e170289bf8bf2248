"""What a policy does not use costs its requests nothing: not one instruction of Python."""

import sys
from types import FrameType
from typing import Any

import pytest
from guarded_gateway import POOLS

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.resource import API_VERSION
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.server.offline import offline_pipeline

BODY = (
    b'{"model": "plain", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 9}'
)
FACTS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: priced}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.3, port: 80}]
  models:
  - name: cheap
    quality: {default: "0.5"}
    maxOutputTokens: 900
    pricing: {inputPerMillion: "1", outputPerMillion: "1"}
  - name: dear
    quality: {default: "0.9"}
    maxOutputTokens: 900
    pricing: {inputPerMillion: "9", outputPerMillion: "9"}
"""
PLAIN = "{match: {models: [plain]}, rules: [{candidates: [{model: small}]}]}"
OTHERS = {
    "an objective": """{candidates: [{model: cheap}, {model: dear}],
        objective: {weights: {quality: 100, cost: 20}, references: {usd: "0.001"}},
        outputBudget: {levels: [64, 256], enforce: clamp}, stickiness: {minimumGain: "0.1"}}""",
    "features": """{when: "prompt.domain == 'law' || prompt.code < 0.9", candidates: [{model: cheap}]}""",
    "a fallback": """{candidates: [{model: cheap}], timeouts: {firstToken: 9s},
        fallback: {reasons: [connect, firstToken], to: [{model: dear}]}}""",
    "limits and budgets": """{candidates: [{model: cheap}]}], governance: {
        limits: [{per: key, totalTokens: 900, window: 1m}],
        budgets: [{per: tenant, period: day, usd: "5", mode: soft}]}, ignored: [{}""",
    "content and tools": """{candidates: [{model: cheap}]}], governance: {
        content: {request: [{detectors: [email], action: redact}],
                  response: [{detectors: [secret], action: block}]},
        tools: [{allow: ['a*']}]}, ignored: [{}""",
}


class Instructions:
    """Counts instructions of Python while it is entered."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Instructions":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        return self._trace


async def instructions(*policies: str, asks: str = "plain") -> int:
    """Of a request for a model that a policy takes, once everything is warm."""
    documents = "".join(
        f"---\napiVersion: {API_VERSION}\nkind: RoutePolicy\nmetadata: {{name: p{number}}}\nspec: {spec}\n"
        for number, spec in enumerate(policies)
    )
    found = compile_resources(load_texts([("a.yaml", f"{POOLS}---{FACTS}{documents}")]), GatewaySettings())
    assert [one for one in found.findings if one.severity == "error"] == []
    pipeline, _ = await offline_pipeline(found.snapshot, GatewaySettings())
    counts = []
    for _ in range(4):
        with Instructions() as counted:
            await pipeline.consider(
                RequestHead("POST", "/v1/chat/completions", {}, envoy="e"),
                BODY.replace(b"plain", asks.encode()),
            )
        counts.append(counted.count)
    return counts[-1]


@pytest.mark.parametrize("rule", OTHERS.values(), ids=OTHERS)
async def test_a_plain_policy_pays_nothing_for_what_another_one_uses(rule: str) -> None:
    spec = f"{{match: {{models: [other]}}, rules: [{rule}]}}".replace(", ignored: [{}]", "")
    twice = PLAIN, PLAIN.replace("plain", "other")
    assert await instructions(PLAIN, spec) == await instructions(*twice) > 1000
    assert await instructions(PLAIN, spec, asks="other") > await instructions(*twice, asks="other")
