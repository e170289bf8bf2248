"""Envoy's configuration for a run: its own balancers, or Pilotage's with the server told to the client."""

import json
from typing import Any

from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager

from pilotage_extproc.envoy.xds.bootstrap import checked
from pilotage_extproc.envoy.xds.typed import extension, socket_address

SERVED_BY = "x-bench-served-by"
"""Response header: the server that answered."""
_SERVED_BY = [
    {
        "header": {"key": SERVED_BY, "value": "%UPSTREAM_REMOTE_ADDRESS%"},
        "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
]
POLICIES = {"round-robin": "ROUND_ROBIN", "least-request": "LEAST_REQUEST"}
_BUFFER_BYTES = 32 << 20
_MOST = 65536


def plain_bootstrap(balancer: str, servers: list[str]) -> str:
    """One listener and one static cluster under Envoy's own policy, all else at its defaults."""
    hosts = [
        {"endpoint": {"address": socket_address(host, int(port))}}
        for host, port in (one.split(":") for one in servers)
    ]
    limits = {"maxConnections": _MOST, "maxPendingRequests": _MOST, "maxRequests": _MOST}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "servers", "timeout": "0s"}}
    manager = {
        "statPrefix": "gateway",
        "routeConfig": {
            "name": "gateway",
            "virtualHosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
            "responseHeadersToAdd": _SERVED_BY,
        },
        "httpFilters": [extension("envoy.filters.http.router", Router)],
    }
    chain = {
        "filters": [
            extension("envoy.filters.network.http_connection_manager", HttpConnectionManager, manager)
        ]
    }
    raw: dict[str, Any] = {
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": socket_address("127.0.0.1", 0)},
        "staticResources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": socket_address("127.0.0.1", 0),
                    "perConnectionBufferLimitBytes": _BUFFER_BYTES,
                    "filterChains": [chain],
                }
            ],
            "clusters": [
                {
                    "name": "servers",
                    "type": "STATIC",
                    "connectTimeout": "2s",
                    "lbPolicy": POLICIES[balancer],
                    "perConnectionBufferLimitBytes": _BUFFER_BYTES,
                    "circuitBreakers": {"thresholds": [limits]},
                    "loadAssignment": {"clusterName": "servers", "endpoints": [{"lbEndpoints": hosts}]},
                }
            ],
        },
    }
    return json.dumps(checked(raw))


def with_served_by(bootstrap: str) -> str:
    """Pilotage's bootstrap, with the header that tells the server."""
    raw = json.loads(bootstrap)
    for listener in raw["staticResources"]["listeners"]:
        for chain in listener["filterChains"]:
            for one in chain["filters"]:
                one["typedConfig"]["routeConfig"]["responseHeadersToAdd"] = _SERVED_BY
    return json.dumps(raw)
