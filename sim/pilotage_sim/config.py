"""What one simulated server serves, and how fast."""

import ssl
from dataclasses import dataclass

from pilotage_sim.engine.core import EngineConfig
from pilotage_sim.engine.cost import DEFAULT_PRESET, PRESETS
from pilotage_sim.http.provider import Provider


@dataclass(slots=True, frozen=True)
class SimConfig:
    """One server's models and engine."""

    models: tuple[str, ...]
    adapters: tuple[str, ...] = ()
    preset: str = DEFAULT_PRESET
    time_scale: float = 1.0
    """Real seconds a simulated second takes: 0.1 is ten times faster, 0 as fast as the machine can."""
    block_tokens: int = 16
    max_running: int = 256
    max_loras: int = 4
    kv_cache_tokens: int | None = None
    """Overrides the preset's."""
    prefix_caching: bool = True
    """False is vLLM's `--no-enable-prefix-caching`."""
    default_max_tokens: int = 64
    """Length of an answer whose request sets no limit; a real model would stop by itself."""
    provider: Provider | None = None
    """A hosted provider in place of a model server."""

    def engine_config(self) -> EngineConfig:
        """The engine's part. Raises KeyError for an unknown preset."""
        cost = PRESETS[self.preset]
        if self.kv_cache_tokens is not None:
            cost = type(cost)(
                cost.parameters,
                cost.kv_bytes_per_token,
                cost.gpus,
                cost.step_overhead_seconds,
                self.kv_cache_tokens,
            )
        return EngineConfig(
            cost,
            block_tokens=self.block_tokens,
            max_running=self.max_running,
            max_loras=self.max_loras,
            prefix_caching=self.prefix_caching,
        )


@dataclass(slots=True, frozen=True)
class SimSpec:
    """One server at one address; port 0 takes a free one."""

    host: str
    port: int
    config: SimConfig
    tls: ssl.SSLContext | None = None
    """None is plain HTTP."""
