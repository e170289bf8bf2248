"""The bundled Envoy's bootstrap: one listener, extproc's cluster, and ADS for all else."""

import json
from collections.abc import Sequence

from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap
from envoy_data_plane.envoy.extensions.bootstrap.internal_listener.v3 import InternalListener
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import (
    DownstreamConnectionsConfig,
)

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.access_logs import logs_twice
from pilotage_extproc.envoy.xds.clusters import extproc_cluster
from pilotage_extproc.envoy.xds.listener import listener
from pilotage_extproc.envoy.xds.probes import admin_cluster, probe_listener
from pilotage_extproc.envoy.xds.typed import (
    FROM_EXTPROC,
    Fields,
    extension,
    extproc_service,
    seconds,
    socket_address,
)

_MAX_CONNECTIONS = 50_000
_LISTENERS_SECONDS = 2


def build_bootstrap(
    settings: GatewaySettings,
    *,
    envoy_name: str,
    extproc: tuple[str, int],
    gateway: tuple[str, int],
    admin: tuple[str, int],
    peers: Sequence[tuple[str, int]] = (),
    probes: tuple[str, int] | None = None,
    identity: str | None = None,
) -> str:
    """The bootstrap as JSON for `envoy -c`. Addresses are `(host, port)`; port 0 takes a free one.

    `peers` are further extproc processes: requests are balanced over all of them, and over all
    addresses of a DNS name. `probes` shows `/ready` and `/stats/prometheus` of `admin`, whose port must
    be known then. `identity` is the folder of `own_identity.identity_files`: needed, and used, only where
    Envoy and pickers verify each other (`tls.envoy`). Raises ValueError without it there.
    """
    if settings.tls.envoy is not None and identity is None:
        raise ValueError("tls.envoy: Envoy needs files that tell it which certificate is its own")
    listeners = [listener(settings, envoy_name=envoy_name, host=gateway[0], port=gateway[1])]
    clusters = [extproc_cluster(settings, [extproc, *peers], identity)]
    if logs_twice(settings):
        clusters.append(extproc_cluster(settings, [extproc, *peers], identity, names.LOG_CLUSTER))
    if probes is not None:
        listeners.append(probe_listener(*probes))
        clusters.append(admin_cluster(*admin))
    raw: Fields = {
        "node": {"id": envoy_name, "cluster": "pilotage"},
        "admin": {"address": socket_address(*admin)},
        "dynamicResources": {
            "adsConfig": {
                "apiType": "GRPC",
                "transportApiVersion": "V3",
                "grpcServices": [
                    {
                        **extproc_service(envoy_name, timeout_seconds=0),
                        # Envoy's own is up to 30 s: endpoints would be that old after a picker's restart
                        "retryPolicy": {"retryBackOff": {"baseInterval": "0.1s", "maxInterval": "1s"}},
                    }
                ],
                "setNodeOnFirstMessageOnly": True,
            },
            "cdsConfig": FROM_EXTPROC,
            # a picker of the version before answers nothing here: Envoy begins without providers then
            "ldsConfig": {**FROM_EXTPROC, "initialFetchTimeout": seconds(_LISTENERS_SECONDS)},
        },
        "staticResources": {
            "listeners": listeners,
            "clusters": clusters,
        },
        "bootstrapExtensions": [extension("envoy.bootstrap.internal_listener", InternalListener)],
        "overloadManager": {
            "resourceMonitors": [
                extension(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    DownstreamConnectionsConfig,
                    {"maxActiveDownstreamConnections": _MAX_CONNECTIONS},
                )
            ]
        },
    }
    return json.dumps(checked(raw))


def checked(raw: Fields) -> Fields:
    """The bootstrap parsed by its types and written again. Raises KeyError for an unknown field."""
    return Bootstrap.from_dict(raw).to_dict()
