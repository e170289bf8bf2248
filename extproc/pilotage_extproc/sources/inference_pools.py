"""`InferencePool` and `InferenceObjective` of the Gateway API Inference Extension, as far as a picker needs.

An InferencePool names its picker by Service and port. Nothing in the endpoint-picker protocol says which
pool a request is for, so each pool is told by the port it asks on. Nothing here is ever written to: an
InferencePool's status belongs to gateways.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from pilotage_api.snapshot import Engine, PoolSnapshot, SaturationSnapshot, StreamUsage
from pilotage_kube.replica_report import Refusal
from pilotage_kube.resource import ObjectKey

KEY_PREFIX: Final = "inferencepool/"
"""Before `namespace/name` in the key of such a pool, which no ModelPool's key has."""
ENGINE_LABEL: Final = "pilotage.dev/engine"
"""Label of an InferencePool whose servers are not vLLM."""
_SATURATION: Final = SaturationSnapshot(queue_depth=5, kv_cache_utilization=0.8)
"""The reference picker's defaults for when a server is full."""


class _Number(msgspec.Struct, frozen=True):
    number: int


class _Selector(msgspec.Struct, frozen=True, rename="camel"):
    match_labels: dict[str, str] = {}


class _PickerRef(msgspec.Struct, frozen=True):
    name: str
    group: str = ""
    kind: str = "Service"
    port: _Number | None = None


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    creation_timestamp: datetime | None = None
    labels: dict[str, str] = {}


class _PoolSpec(msgspec.Struct, frozen=True, rename="camel"):
    selector: _Selector
    target_ports: list[_Number]
    endpoint_picker_ref: _PickerRef


class InferencePool(msgspec.Struct, frozen=True):
    """The part of an InferencePool that a picker needs."""

    metadata: _Meta
    spec: _PoolSpec


class _PoolRef(msgspec.Struct, frozen=True):
    name: str


class _ObjectiveSpec(msgspec.Struct, frozen=True, rename="camel"):
    pool_ref: _PoolRef
    priority: int = 0


class InferenceObjective(msgspec.Struct, frozen=True):
    """How important some requests to a pool are; below 0 they may be shed."""

    spec: _ObjectiveSpec


@dataclass(slots=True, frozen=True)
class ServedPools:
    """The InferencePools this picker serves, and those it cannot."""

    pools: tuple[PoolSnapshot, ...] = ()
    ports: tuple[tuple[int, str], ...] = ()
    """Port and pool key, one each."""
    refusals: tuple[Refusal, ...] = ()


def served_pools(
    found: Iterable[tuple[ObjectKey, InferencePool]], *, service: str, own_ports: frozenset[int]
) -> ServedPools:
    """The pools whose picker is this Service. Of two on one port the older is served, then the first by name.

    `own_ports` are in use for something else.
    """
    ours = [(key, pool) for key, pool in found if _names(pool, service)]
    ours.sort(key=lambda one: (_age(one[1]), one[0]))
    holders: dict[int, ObjectKey] = {}
    pools: list[PoolSnapshot] = []
    refusals: list[Refusal] = []
    for key, pool in ours:
        ref = pool.spec.endpoint_picker_ref
        assert ref.port is not None
        port = ref.port.number
        if port in own_ports:
            refusals.append(
                _refusal(key, f"port {port} is the picker's own: name another in endpointPickerRef.port")
            )
        elif port in holders:
            message = (
                f"port {port} serves InferencePool {holders[port]} already, which is older or comes first by "
                "name: a picker tells pools apart by port, so name another in endpointPickerRef.port"
            )
            refusals.append(_refusal(key, message))
        else:
            holders[port] = key
            pools.append(_snapshot(key, pool))
    ports = tuple((port, f"{KEY_PREFIX}{key}") for port, key in sorted(holders.items()))
    return ServedPools(tuple(sorted(pools, key=lambda one: one.key)), ports, tuple(refusals))


def priorities(found: Iterable[tuple[ObjectKey, InferenceObjective]]) -> dict[tuple[str, str], int]:
    """Priority by pool key and objective name."""
    return {
        (f"{KEY_PREFIX}{key.namespace}/{one.spec.pool_ref.name}", key.name): one.spec.priority
        for key, one in found
    }


def _names(pool: InferencePool, service: str) -> bool:
    ref = pool.spec.endpoint_picker_ref
    return (ref.group, ref.kind, ref.name) == ("", "Service", service) and ref.port is not None


def _age(pool: InferencePool) -> float:
    created = pool.metadata.creation_timestamp
    return 0.0 if created is None else created.timestamp()


def _refusal(key: ObjectKey, message: str) -> Refusal:
    return Refusal(f"InferencePool {key}", "PortConflict", message)


def _snapshot(key: ObjectKey, pool: InferencePool) -> PoolSnapshot:
    spec = pool.spec
    try:
        engine = Engine(pool.metadata.labels.get(ENGINE_LABEL, Engine.VLLM))
    except ValueError:
        engine = Engine.OPENAI  # no metrics are read of what is not known
    return PoolSnapshot(
        key=f"{KEY_PREFIX}{key}",
        engine=engine,
        endpoints=(),
        selector=dict(sorted(spec.selector.match_labels.items())),
        target_ports=tuple(dict.fromkeys(port.number for port in spec.target_ports)),
        stream_usage=StreamUsage.LEAVE,
        models=(),
        saturation=_SATURATION,
    )
