"""The metrics page: the part of vLLM's that a picker reads, with its names, labels and types."""

from collections.abc import Mapping

from pilotage_sim.engine.core import Engine

_GAUGE, _COUNTER = "gauge", "counter"


def metrics_page(engine: Engine, model: str, *, now_seconds: float, started_at_seconds: float) -> bytes:
    """Prometheus text; both times are seconds since the epoch.

    `now_seconds` is the value of `lora_requests_info`: the latest wins.
    """
    labels = {"engine": "0", "model_name": model}
    counters, config = engine.counters, engine.config
    waiting = len(engine.waiting)
    lines = [
        "# HELP process_start_time_seconds Simulated.",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {started_at_seconds}",
    ]

    def metric(name: str, kind: str, *samples: tuple[Mapping[str, str], float]) -> None:
        lines.append(f"# HELP vllm:{name} Simulated.")
        lines.append(f"# TYPE vllm:{name} {kind}")
        for sample_labels, value in samples:
            shown = ",".join(f'{key}="{text}"' for key, text in sorted(sample_labels.items()))
            lines.append(f"vllm:{name}{{{shown}}} {float(value)}")

    metric("num_requests_running", _GAUGE, (labels, len(engine.running)))
    metric("num_requests_waiting", _GAUGE, (labels, waiting))
    metric(
        "num_requests_waiting_by_reason",
        _GAUGE,
        (labels | {"reason": "capacity"}, waiting),
        (labels | {"reason": "deferred"}, 0),
    )
    metric("kv_cache_usage_perc", _GAUGE, (labels, engine.blocks.usage))
    metric("prefix_cache_queries_total", _COUNTER, (labels, counters.prefix_queries))
    metric("prefix_cache_hits_total", _COUNTER, (labels, counters.prefix_hits))
    metric("num_preemptions_total", _COUNTER, (labels, counters.preemptions))
    metric("prompt_tokens_total", _COUNTER, (labels, counters.prompt_tokens))
    metric("generation_tokens_total", _COUNTER, (labels, counters.generation_tokens))
    metric(
        "request_success_total",
        _COUNTER,
        (labels | {"finished_reason": "length"}, counters.finished),
        (labels | {"finished_reason": "abort"}, counters.aborted),
    )
    metric(
        "lora_requests_info",
        _GAUGE,
        (
            {
                "max_lora": str(config.max_loras),
                "running_lora_adapters": ",".join(engine.running_adapters()),
                "waiting_lora_adapters": ",".join(engine.waiting_adapters()),
            },
            now_seconds,
        ),
    )
    metric(
        "cache_config_info",
        _GAUGE,
        (
            {
                "block_size": str(config.block_tokens),
                "enable_prefix_caching": str(config.prefix_caching),
                "engine": "0",
                "num_gpu_blocks": str(engine.blocks.capacity),
            },
            1.0,
        ),
    )
    return ("\n".join(lines) + "\n").encode()
