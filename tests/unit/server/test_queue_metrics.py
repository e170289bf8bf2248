"""What autoscalers and docs/queues.md ask of a queue is exposed, with the labels that they ask for."""

import re

import pytest
from queue_queries import queries

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.server.admin_view import RuntimeView
from pilotage_extproc.server.runtime import Runtime

MANIFESTS = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.1, port: 8000}]
  models: [{name: m}]
  admission: {queueDepth: 1}
---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: chat}
spec:
  match: {models: [chat]}
  rules: [{candidates: [{model: m}]}]
  queue: {maxWait: 20s}
"""


async def exposed() -> list[str]:
    """Samples of a picker with a pool that is asked for, after a wait."""
    runtime = Runtime(GatewaySettings())
    view = RuntimeView(runtime)
    snapshot = compile_resources(load_texts([("a.yaml", MANIFESTS)]), GatewaySettings()).snapshot
    await runtime.following.apply(snapshot)
    runtime.state.table.admit(runtime.state.table.rows())
    runtime.deciding.queue_telemetry.wait_ended("default/chat", "served", 0.5)
    page = view.metrics().decode()
    await runtime.stop()
    return [line for line in page.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("where", sorted(queries()))
async def test_a_query_finds_samples_with_its_labels(where):
    query = queries()[where]
    samples = await exposed()
    asked = re.findall(r"(pilotage_\w+)(?:\{([^}]*)\})?", query)
    assert asked
    grouped = [label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")]
    for metric, selector in asked:
        mine = [line for line in samples if re.match(rf"{metric}[ {{]", line)]
        assert any(selector in line for line in mine), (metric, selector, mine)
        for label in grouped:
            assert all(re.search(rf"[{{,]{label}=", line) for line in mine), (metric, label)
