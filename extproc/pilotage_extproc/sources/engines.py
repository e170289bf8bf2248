"""Where each engine's metrics page says how busy it is."""

from dataclasses import dataclass

from pilotage_api.snapshot import Engine


@dataclass(slots=True, frozen=True)
class Metric:
    """One metric: its name, and a label it must carry where the name alone is ambiguous."""

    name: bytes
    label: bytes | None = None


@dataclass(slots=True, frozen=True)
class EngineMetrics:
    """The metrics of one engine. Counts of data-parallel ranks are summed, shares averaged."""

    waiting: Metric
    running: Metric
    kv_usage: Metric


ENGINE_METRICS: dict[Engine, EngineMetrics] = {
    Engine.VLLM: EngineMetrics(
        Metric(b"vllm:num_requests_waiting"),
        Metric(b"vllm:num_requests_running"),
        Metric(b"vllm:kv_cache_usage_perc"),
    ),
    Engine.SGLANG: EngineMetrics(
        Metric(b"sglang:num_queue_reqs"),
        Metric(b"sglang:num_running_reqs"),
        Metric(b"sglang:token_usage"),
    ),
    Engine.TRTLLM: EngineMetrics(
        Metric(b"trtllm_num_requests_waiting"),
        Metric(b"trtllm_num_requests_running"),
        Metric(b"trtllm_kv_cache_utilization"),
    ),
    Engine.TRITON: EngineMetrics(
        Metric(b"nv_trt_llm_request_metrics", b'request_type="waiting"'),
        Metric(b"nv_trt_llm_request_metrics", b'request_type="scheduled"'),
        Metric(b"nv_trt_llm_kv_cache_block_metrics", b'kv_cache_block_type="fraction"'),
    ),
}
"""Engines that expose load; `openai` has none."""
