"""Asks a picker for picks at a steady rate, as a third-party gateway: python -m bench.picker_load ADDRESS ….

Prints one JSON line: milliseconds from when a request was due to its pick.
"""

import argparse
import asyncio
import json
import sys
from typing import Any

import grpc
import numpy as np
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2


def _request(model: str) -> tuple[bytes, bytes]:
    head, body = ext_proc_pb2.ProcessingRequest(), ext_proc_pb2.ProcessingRequest()
    head.protocol_config.request_body_mode = 2
    for key, value in (
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("content-type", "application/json"),
    ):
        head.request_headers.headers.headers.add(key=key, raw_value=value.encode())
    messages = [{"role": "user", "content": "Why is the sky blue? " * 20}]
    body.request_body.body = json.dumps({"model": model, "messages": messages}).encode()
    body.request_body.end_of_stream = True
    return head.SerializeToString(), body.SerializeToString()


async def load(address: str, model: str, rate: float, seconds: float) -> dict[str, Any]:
    """Latencies at an open-loop rate."""
    head, body = _request(model)
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    failed = 0
    async with grpc.aio.insecure_channel(address) as channel:
        process: Any = channel.stream_stream("/envoy.service.ext_proc.v3.ExternalProcessor/Process")

        async def ask(due: float) -> None:
            nonlocal failed
            call = process()
            await call.write(head)
            await call.read()
            await call.write(body)
            answer = ext_proc_pb2.ProcessingResponse.FromString(await call.read())
            taken.append(loop.time() - due)
            failed += answer.HasField("immediate_response")
            await call.done_writing()
            call.cancel()

        began = loop.time()
        asking = set()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            task = asyncio.create_task(ask(due))
            asking.add(task)
            task.add_done_callback(asking.discard)
        await asyncio.gather(*asking)
    p50, p99, p999 = (1000 * float(np.percentile(taken, share)) for share in (50, 99, 99.9))
    return {"p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "requests": len(taken), "failed": failed}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--model", default="llama")
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    json.dump(asyncio.run(load(options.address, options.model, options.rate, options.seconds)), sys.stdout)
