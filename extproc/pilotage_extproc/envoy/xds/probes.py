"""A second listener that shows readiness and metrics of Envoy, and nothing else of its admin address."""

from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager

from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields, extension, seconds, socket_address

_PATHS = ("/ready", "/stats/prometheus")


def probe_listener(host: str, port: int) -> Fields:
    """The listener; whatever is not one of the two paths is 404."""
    routes = [{"match": {"path": path}, "route": {"cluster": names.ADMIN_CLUSTER}} for path in _PATHS]
    manager = {
        "statPrefix": "probes",
        "routeConfig": {
            "name": "probes",
            "virtualHosts": [{"name": "probes", "domains": ["*"], "routes": routes}],
        },
        "httpFilters": [extension("envoy.filters.http.router", Router)],
    }
    name = "envoy.filters.network.http_connection_manager"
    return {
        "name": "probes",
        "address": socket_address(host, port),
        "filterChains": [{"filters": [extension(name, HttpConnectionManager, manager)]}],
        # requests to be seen here are not the gateway's: its connection limit does not concern them
        "ignoreGlobalConnLimit": True,
    }


def admin_cluster(host: str, port: int) -> Fields:
    """Envoy's admin address as a cluster."""
    address = {"endpoint": {"address": socket_address(host, port)}}
    return {
        "name": names.ADMIN_CLUSTER,
        "type": "STATIC",
        "connectTimeout": seconds(1),
        "loadAssignment": {"clusterName": names.ADMIN_CLUSTER, "endpoints": [{"lbEndpoints": [address]}]},
    }
