"""The engine: continuous batching, paged KV cache, LoRA slots. Pure: no clock, no I/O."""
