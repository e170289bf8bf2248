"""A long list of large pods, read in turns short enough for requests to be decided between them."""

import asyncio
import gc
import time

import pytest
from pods import Pod, make_pods
from waiting import until

from pilotage_kube.informer import Informer
from pilotage_kube.resource import PODS, ObjectKey
from pilotage_kube.wire import typed

COUNT = 500
LONGEST_HOLD_SECONDS = 0.015
"""About 3.5 ms on the machine this was written on; parsing each page whole took over 20 ms there."""


class Heartbeat:
    """The most CPU time the event loop spent between two turns of this task.

    CPU time, so that other processes on the machine do not count.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            before = now


@pytest.mark.slow
async def test_a_relist_of_large_pods_holds_the_event_loop_only_briefly(client, namespace):
    await make_pods(client, namespace, COUNT)
    gc.collect()
    gc.freeze()
    heartbeat = Heartbeat()
    beating = asyncio.create_task(heartbeat.run())
    informer = Informer(client, PODS, typed(Pod), namespace=namespace)
    following = asyncio.create_task(informer.run())
    await informer.wait_synced()
    beating.cancel()
    gc.unfreeze()
    assert len(informer.store) == COUNT
    found = informer.store[ObjectKey(namespace, "vllm-00007")]
    assert (found.status.pod_ip, found.status.phase) == ("10.0.0.7", "Running")
    assert found.metadata.labels == {"app": "vllm", "tier": "small"}
    assert heartbeat.longest < LONGEST_HOLD_SECONDS
    # a pod told to go is known as going soon after the event
    began = time.monotonic()
    await client.delete(PODS, "vllm-00007", namespace)
    key = ObjectKey(namespace, "vllm-00007")
    await until(lambda: key not in informer.store or informer.store[key].metadata.deletion_timestamp)
    assert time.monotonic() - began < 1
    following.cancel()
    await asyncio.gather(beating, following, return_exceptions=True)
