"""`InferencePool` and `InferenceObjective` of the Gateway API Inference Extension, as far as a picker needs.

An InferencePool names its picker by Service and port. Nothing in the endpoint-picker protocol says which
pool a request is for, so each pool is told by the port it asks on. Nothing here is ever written to: an
InferencePool's status belongs to gateways.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from pilotage_api.snapshot import (
    Engine,
    PoolSnapshot,
    SaturationSnapshot,
    StreamUsage,
)
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
    uid: str = ""
    creation_timestamp: datetime | None = None
    labels: dict[str, str] = {}


class _PoolSpec(msgspec.Struct, frozen=True, rename="camel"):
    selector: _Selector
    target_ports: list[_Number]
    endpoint_picker_ref: _PickerRef | None = None


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
    uids: Mapping[str, str] = field(default_factory=dict)
    """By pool key, of those served: a later pool of the same name is another one."""

    def refusal(self, pool: str, reason: str, message: str) -> Refusal:
        """What cannot be done for one of these pools, by its key."""
        name = pool.removeprefix(KEY_PREFIX)
        return Refusal(f"InferencePool {name}", reason, message, self.uids.get(pool, ""))


def served_pools(
    found: Iterable[tuple[ObjectKey, InferencePool]], *, service: str, own_ports: Mapping[int, str]
) -> ServedPools:
    """The pools whose picker is this Service. Of two on one port the older is served, then the first by name.

    `own_ports` are in use for something else: by port, the setting that says so.
    """
    ours = [(key, pool, port) for key, pool in found if (port := _picker_port(pool, service)) is not None]
    ours.sort(key=lambda one: (_age(one[1]), one[0]))
    holders: dict[int, ObjectKey] = {}
    pools: list[PoolSnapshot] = []
    refusals: list[Refusal] = []
    uids: dict[str, str] = {}
    for key, pool, port in ours:
        if port in own_ports:
            message = (
                f"port {port} is the picker's own ({own_ports[port]}): name another in "
                "endpointPickerRef.port, and open it on the picker's Service (the chart's inferencePoolPorts)"
            )
            refusals.append(_refusal(key, pool, "PortReserved", message))
        elif port in holders:
            message = (
                f"port {port} serves InferencePool {holders[port]} already, which is older or comes first by "
                "name: a picker tells pools apart by port, so name another in endpointPickerRef.port"
            )
            refusals.append(_refusal(key, pool, "PortConflict", message))
        else:
            holders[port] = key
            uids[f"{KEY_PREFIX}{key}"] = pool.metadata.uid
            pools.append(_snapshot(key, pool))
    ports = tuple((port, f"{KEY_PREFIX}{key}") for port, key in sorted(holders.items()))
    return ServedPools(tuple(sorted(pools, key=lambda one: one.key)), ports, tuple(refusals), uids)


def is_inference_pool(key: str) -> bool:
    """Whether a pool's key is an InferencePool's; a ModelPool's has one part less."""
    return key.startswith(KEY_PREFIX) and key.count("/") == 2


def priorities(found: Iterable[tuple[ObjectKey, InferenceObjective]]) -> dict[tuple[str, str], int]:
    """Priority by pool key and objective name."""
    return {
        (f"{KEY_PREFIX}{key.namespace}/{one.spec.pool_ref.name}", key.name): one.spec.priority
        for key, one in found
    }


def _picker_port(pool: InferencePool, service: str) -> int | None:
    """The port on which a pool asks this Service; None where it names another picker, or none."""
    ref = pool.spec.endpoint_picker_ref
    if ref is None or ref.port is None or (ref.group, ref.kind, ref.name) != ("", "Service", service):
        return None
    return ref.port.number


def _age(pool: InferencePool) -> float:
    created = pool.metadata.creation_timestamp
    return 0.0 if created is None else created.timestamp()


def _refusal(key: ObjectKey, pool: InferencePool, reason: str, message: str) -> Refusal:
    return Refusal(f"InferencePool {key}", reason, message, pool.metadata.uid)


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
