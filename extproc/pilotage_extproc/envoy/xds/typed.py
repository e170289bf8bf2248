"""Envoy configuration as plain data, checked against envoy-data-plane's types.

Nested structures are written in Envoy's own JSON form; every extension names its message class, and
the whole is parsed by the classes before it leaves, so a misspelt field fails here and not in Envoy.
"""

from typing import Any

import betterproto2
from envoy_data_plane.google.protobuf import Any as AnyMessage

from pilotage_extproc.envoy import contract as names

Fields = dict[str, Any]

FROM_EXTPROC: Fields = {"ads": {}, "resourceApiVersion": "V3", "initialFetchTimeout": "0s"}
"""Where xDS resources come from. Envoy waits for them before it listens, however long that takes."""


def any_of(message: type[betterproto2.Message], fields: Fields) -> Fields:
    """An `Any` in JSON form; fields are checked when the enclosing message is parsed."""
    return {"@type": AnyMessage.pack(message()).type_url, **fields}


def extension(name: str, message: type[betterproto2.Message], fields: Fields | None = None) -> Fields:
    """A named extension with its configuration."""
    return {"name": name, "typedConfig": any_of(message, fields or {})}


def seconds(value: float) -> str:
    """A duration in JSON form."""
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


def socket_address(host: str, port: int) -> Fields:
    """An address to listen on or connect to."""
    return {"socketAddress": {"address": host, "portValue": port}}


def extproc_service(
    envoy_name: str | None,
    *,
    timeout_seconds: float,
    role: str | None = None,
    cluster: str = names.EXTPROC_CLUSTER,
) -> Fields:
    """A gRPC service of extproc; initial metadata names the Envoy that calls, where it matters."""
    metadata = [{"key": names.CONTRACT_HEADER, "value": names.CONTRACT}]
    if envoy_name is not None:
        metadata.append({"key": names.ENVOY_HEADER, "value": envoy_name})
    if role is not None:
        metadata.append({"key": names.ROLE_HEADER, "value": role})
    return {
        "envoyGrpc": {"clusterName": cluster},
        "timeout": seconds(timeout_seconds),
        "initialMetadata": metadata,
    }
