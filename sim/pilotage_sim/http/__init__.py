"""vLLM's HTTP API over an engine."""
