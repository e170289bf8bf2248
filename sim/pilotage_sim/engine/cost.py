"""How long one engine step takes: a roofline of compute and memory traffic.

A step computes the prefill and decode tokens of its batch in one pass. Its time is the larger of
arithmetic and memory traffic, plus a fixed overhead for scheduling and launching:

    arithmetic = 2 · parameters · tokens / (peak FLOP/s · utilisation)
    traffic    = (parameter bytes + KV bytes read) / (peak bytes/s · utilisation)

The form is that of "LLM Inference Unveiled: Survey and Roofline Model Insights" (arXiv:2402.16363).
Hardware figures are NVIDIA's H100 SXM data sheet: 989 TFLOP/s dense BF16, 3.35 TB/s. Model shapes are
the published configurations of Llama 3.1 8B and 3.3 70B. The utilisations (half of peak arithmetic,
seven tenths of peak bandwidth) and the overhead are assumptions of a well-tuned server, not
measurements of one: compare placements with each other, do not predict a GPU's speed.
"""

from dataclasses import dataclass

_H100_FLOPS = 989e12
_H100_BYTES_PER_SECOND = 3.35e12
_COMPUTE_UTILISATION = 0.5
_BANDWIDTH_UTILISATION = 0.7


@dataclass(slots=True, frozen=True)
class CostModel:
    """One model on one server."""

    parameters: float
    kv_bytes_per_token: int
    """2 (key and value) · layers · KV heads · head size · 2 bytes."""
    gpus: int = 1
    step_overhead_seconds: float = 0.002
    kv_cache_tokens: int = 400_000
    """Tokens the KV cache holds."""

    def step_seconds(self, *, tokens: int, context_tokens: int) -> float:
        """Time of a step that computes `tokens` while reading `context_tokens` of KV cache."""
        arithmetic = 2 * self.parameters * tokens / (self.gpus * _H100_FLOPS * _COMPUTE_UTILISATION)
        moved = 2 * self.parameters + context_tokens * self.kv_bytes_per_token
        traffic = moved / (self.gpus * _H100_BYTES_PER_SECOND * _BANDWIDTH_UTILISATION)
        return self.step_overhead_seconds + max(arithmetic, traffic)


PRESETS = {
    # 80 GB less 16 GB of weights, at 90%, over 131,072 bytes a token
    "llama-3.1-8b-h100": CostModel(8.03e9, 2 * 32 * 8 * 128 * 2, kv_cache_tokens=427_000),
    # 4 · 80 GB less 141 GB of weights, at 90%, over 327,680 bytes a token
    "llama-3.3-70b-4xh100": CostModel(70.6e9, 2 * 80 * 8 * 128 * 2, gpus=4, kv_cache_tokens=448_000),
}
DEFAULT_PRESET = "llama-3.1-8b-h100"
