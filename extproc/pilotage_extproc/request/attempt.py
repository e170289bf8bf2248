"""One try of a request: how it is spoken to, whatever endpoint it goes to."""

from typing import NamedTuple

from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage


class Attempt(NamedTuple):
    """What one try changes in a request, whatever endpoint it goes to."""

    pool: str
    """`namespace/name`."""
    upstream_model: str
    engine: Engine
    stream_usage: StreamUsage

    @classmethod
    def at(cls, pool: PoolSnapshot, upstream_model: str) -> "Attempt":
        """At any endpoint of a pool, under this model name."""
        return cls(pool.key, upstream_model, pool.engine, pool.stream_usage)
