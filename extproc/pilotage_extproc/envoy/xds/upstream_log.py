"""The router's own access log: an entry for each attempt that failed, while its request may go on.

The dynamic metadata of a request does not reach these entries (tried on Envoy 1.40), its headers do: so the
pick sets the decision's id as a request header too.
"""

from typing import Final

from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import HttpGrpcAccessLogConfig
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router

from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.rate_limits import HEADERS
from pilotage_extproc.envoy.xds.typed import Fields, extension, extproc_service, seconds

_FLUSH_SECONDS: Final = 0.02
_FLAGS: Final = ("UF", "UC", "UR", "UT", "UPE", "LR")
"""Not connected, broken off, reset, late, not HTTP, reset by Envoy: answers that never began, or are cut."""


def router(envoy_name: str) -> Fields:
    """The router, with that log."""
    return extension("envoy.filters.http.router", Router, {"upstreamLog": [_failures(envoy_name)]})


def _failures(envoy_name: str) -> Fields:
    log = extension(
        "envoy.access_loggers.http_grpc",
        HttpGrpcAccessLogConfig,
        {
            "commonConfig": {
                "logName": f"{envoy_name}-attempts",
                "transportApiVersion": "V3",
                "grpcService": extproc_service(envoy_name, timeout_seconds=0),
                "bufferFlushInterval": seconds(_FLUSH_SECONDS),
            },
            "additionalRequestHeadersToLog": [names.DECISION_REQUEST_HEADER, names.ATTEMPT_COUNT],
            "additionalResponseHeadersToLog": [*HEADERS, names.OVERFLOWS, names.TRY_NEXT],
        },
    )
    value = {"defaultValue": 400, "runtimeKey": "pilotage.failed-attempts"}
    failed = [
        {"statusCodeFilter": {"comparison": {"op": "GE", "value": value}}},
        {"responseFlagFilter": {"flags": list(_FLAGS)}},
    ]
    return {**log, "filter": {"orFilter": {"filters": failed}}}
