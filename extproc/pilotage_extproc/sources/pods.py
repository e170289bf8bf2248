"""What discovery keeps of a pod: where it is, its labels, and whether it takes requests."""

from typing import Any, Final

import msgspec

from pilotage_api.address import canonical_host


class Pod(msgspec.Struct, frozen=True):
    """One pod. Its Ready condition speaks for all its containers, hence for all its ports."""

    name: str
    uid: str
    ip: str
    """Its primary address; empty before it has one."""
    labels: dict[str, str]
    ready: bool
    """It runs, says it is ready, and has not been told to go."""
    leaving: bool
    """It has been told to go, or has ended: no new requests, while those under way go on."""


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Meta(msgspec.Struct):
    name: str
    uid: str = ""
    labels: dict[str, str] = {}
    deletion: Any = msgspec.field(name="deletionTimestamp", default=None)


class _Status(msgspec.Struct, frozen=True):
    phase: str = ""
    ip: str = msgspec.field(name="podIP", default="")
    conditions: list[_Condition] = []


_NO_STATUS: Final = _Status()


class _Pod(msgspec.Struct):
    metadata: _Meta
    status: _Status = _NO_STATUS


_DECODER: Final = msgspec.json.Decoder(_Pod)


def read_pod(raw: memoryview) -> Pod:
    """Read a pod's JSON; the rest of it is skipped. Raises msgspec.DecodeError."""
    read = _DECODER.decode(raw)
    meta, status = read.metadata, read.status
    # the address of a pod that has ended may be another's already
    leaving = meta.deletion is not None or status.phase in ("Succeeded", "Failed")
    said_ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions)
    ready = said_ready and status.phase == "Running" and bool(status.ip) and not leaving
    return Pod(meta.name, meta.uid, canonical_host(status.ip), meta.labels, ready, leaving)
