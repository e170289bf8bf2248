"""What the benchmarks of queues set up: manifests that compile, and pickers that are fair together."""

import pytest
from bench.queue_gateway import manifests
from bench.queue_pickers import Bench

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings


@pytest.mark.parametrize("queue", [True, False])
def test_the_gateway_before_simulated_servers_compiles(queue):
    text = manifests(["127.0.0.1:1", "127.0.0.1:2"], 2.5, queue=queue)
    found = compile_resources(load_texts([("all.yaml", text)]), GatewaySettings())
    assert [one for one in found.findings if one.severity in ("error", "warning")] == []
    [route] = found.snapshot.routes
    assert (route.queue is not None) is queue
    if queue:
        assert route.queue.max_wait_seconds == 6.25


async def test_a_tenant_at_one_of_two_pickers_is_served_as_much_as_one_at_both():
    found = await Bench(2, sharing=True, at_one=True, seed=3).run(20.0)
    assert found["share_of_a"] == pytest.approx(0.5, abs=0.03)
    assert found["longest_engine_queue"] <= 8


async def test_it_would_not_be_if_nothing_was_told():
    found = await Bench(2, sharing=False, at_one=True, seed=3).run(20.0)
    assert found["share_of_a"] < 0.4
