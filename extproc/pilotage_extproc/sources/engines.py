"""Where each engine's metrics page says how busy it is, and how much its prefix cache holds."""

from dataclasses import dataclass

from pilotage_api.snapshot import Engine


@dataclass(slots=True, frozen=True)
class Metric:
    """One metric: its name, and a label it must carry where the name alone is ambiguous."""

    name: bytes
    label: bytes | None = None


@dataclass(slots=True, frozen=True)
class CacheLabels:
    """A metric whose labels say how many tokens a block has, and how many blocks there are."""

    info: Metric
    block_tokens: bytes
    blocks: bytes
    tokens: bytes | None = None
    """Label with the tokens themselves, right also where layers of different kinds share the blocks."""
    enabled: bytes | None = None
    """Label that is `False` where no prefix is cached."""


@dataclass(slots=True, frozen=True)
class CacheValues:
    """Two metrics whose values say it."""

    block_tokens: Metric
    blocks: Metric


@dataclass(slots=True, frozen=True)
class Ranks:
    """Labels that tell the lines of one metric apart; lines that differ in others show the same thing."""

    data_parallel: bytes
    """Each rank has requests and a cache of its own."""
    part: bytes
    """Splits a figure up; the line where it is empty or missing is the total."""


@dataclass(slots=True, frozen=True)
class EngineMetrics:
    """The metrics of one engine. Counts of data-parallel ranks are summed, shares averaged."""

    waiting: Metric
    running: Metric
    kv_usage: Metric
    cache: tuple[CacheLabels | CacheValues, ...]
    """The first that a page has counts; names have changed between versions."""
    path: str = "/metrics"
    """Where the page is."""
    adapters: Metric | None = None
    """Has labels `max_lora`, `running_lora_adapters` and `waiting_lora_adapters`; the line with the
    largest value (a time) is the latest."""
    ranks: Ranks | None = None
    """None where every line is a data-parallel rank's."""


STARTED_AT = Metric(b"process_start_time_seconds")
"""Of every server whose page Python's prometheus_client writes."""

ENGINE_METRICS: dict[Engine, EngineMetrics] = {
    Engine.VLLM: EngineMetrics(
        Metric(b"vllm:num_requests_waiting"),
        Metric(b"vllm:num_requests_running"),
        Metric(b"vllm:kv_cache_usage_perc"),
        (
            CacheLabels(
                Metric(b"vllm:cache_config_info"),
                b"block_size",
                b"num_gpu_blocks",
                tokens=b"kv_cache_size_tokens",
                enabled=b"enable_prefix_caching",
            ),
        ),
        adapters=Metric(b"vllm:lora_requests_info"),
    ),
    Engine.SGLANG: EngineMetrics(
        Metric(b"sglang:num_queue_reqs"),
        Metric(b"sglang:num_running_reqs"),
        Metric(b"sglang:token_usage"),
        (
            CacheValues(Metric(b"sglang:page_size"), Metric(b"sglang:num_pages")),  # from 0.5.11 on
            CacheLabels(Metric(b"sglang:cache_config_info"), b"page_size", b"num_pages"),
        ),
        ranks=Ranks(data_parallel=b"dp_rank", part=b"priority"),
    ),
    Engine.TRTLLM: EngineMetrics(
        Metric(b"trtllm_num_requests_waiting"),
        Metric(b"trtllm_num_requests_running"),
        Metric(b"trtllm_kv_cache_utilization"),
        (CacheValues(Metric(b"trtllm_kv_cache_tokens_per_block"), Metric(b"trtllm_kv_cache_max_blocks")),),
        # its /metrics is JSON (https://nvidia.github.io/TensorRT-LLM/latest/examples/prometheus_metrics.html);
        # the slash at the end spares a redirect where the page is mounted as an application of its own
        path="/prometheus/metrics/",
    ),
    Engine.TRITON: EngineMetrics(
        Metric(b"nv_trt_llm_request_metrics", b'request_type="waiting"'),
        Metric(b"nv_trt_llm_request_metrics", b'request_type="scheduled"'),
        Metric(b"nv_trt_llm_kv_cache_block_metrics", b'kv_cache_block_type="fraction"'),
        (
            CacheValues(
                Metric(b"nv_trt_llm_kv_cache_block_metrics", b'kv_cache_block_type="tokens_per"'),
                Metric(b"nv_trt_llm_kv_cache_block_metrics", b'kv_cache_block_type="max"'),
            ),
        ),
    ),
}
"""Engines that expose load; `openai` has none."""
