"""Load by wrk (https://github.com/wg/wrk), and what it cost."""

import asyncio
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.stack import Stack, cpu_seconds

CONNECTIONS = 16
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(slots=True)
class Measured:
    """One run."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    picker_cpu_ms: float
    """A request."""
    envoy_cpu_ms: float
    failed: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def run_load(stack: Stack, bodies: Path, count: int, seconds: float) -> Measured:
    """Load a stack for some seconds. Raises RuntimeError where wrk is missing."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is not installed: `apt-get install wrk`, `brew install wrk`, or build it")
    script = Path(__file__).with_name("wrk.lua")
    before = cpu_seconds(stack.picker.pid), cpu_seconds(stack.envoy.pid)
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", "--timeout", "20s"]
    command += ["-s", str(script), stack.url, "--", str(bodies), str(count)]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    after = cpu_seconds(stack.picker.pid), cpu_seconds(stack.envoy.pid)
    return _read(output.decode(), after[0] - before[0], after[1] - before[1])


def _read(output: str, picker_seconds: float, envoy_seconds: float) -> Measured:
    done = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if done is None or rate is None or not int(done[1]):
        raise RuntimeError(f"wrk measured nothing:\n{output}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failed = int(bad[1]) if bad else 0
    failed += sum(map(int, errors.groups())) if errors else 0
    requests = int(done[1])
    return Measured(
        requests_per_second=float(rate[1]),
        p50_ms=_latency(output, "50%"),
        p99_ms=_latency(output, "99%"),
        picker_cpu_ms=1000 * picker_seconds / requests,
        envoy_cpu_ms=1000 * envoy_seconds / requests,
        failed=failed,
    )


def _latency(output: str, quantile: str) -> float:
    found = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s)", output)
    assert found is not None, output
    return float(found[1]) * _UNITS[found[2]]
