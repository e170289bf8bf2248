"""How much of a server a request takes: the unit in which a workload's load is stated."""

from bench.placement.constants import PRESET, REFERENCE_BATCH
from pilotage_sim.engine.cost import PRESETS

_PREFILL_TOKENS = 8192


def request_seconds(prompt_tokens: int, output_tokens: int) -> float:
    """Seconds of one server, nothing found in its cache: prefill, and a share of a batch's decode steps."""
    cost = PRESETS[PRESET]
    full = cost.step_seconds(tokens=_PREFILL_TOKENS, context_tokens=0) - cost.step_overhead_seconds
    context = REFERENCE_BATCH * (prompt_tokens + output_tokens // 2)
    step = cost.step_seconds(tokens=REFERENCE_BATCH, context_tokens=context)
    return prompt_tokens * full / _PREFILL_TOKENS + output_tokens * step / REFERENCE_BATCH


def fleet_capacity(servers: int, slow: dict[int, float]) -> float:
    """Server-seconds a second."""
    return sum(1 / slow.get(server, 1.0) for server in range(servers))
