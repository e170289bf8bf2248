"""What extproc serves over xDS besides endpoints, serialised once."""

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.clusters import fail_open_cluster, models_cluster
from pilotage_extproc.envoy.xds.listener import gateway_secret
from pilotage_extproc.envoy.xds.token_check import issuer_cluster


def served_resources(settings: GatewaySettings) -> dict[Reach, dict[str, dict[str, bytes]]]:
    """Resources by reach, type URL and name. They depend on the settings only: a new pool changes none."""
    return {reach: _served(settings, reach) for reach in Reach}


def _served(settings: GatewaySettings, reach: Reach) -> dict[str, dict[str, bytes]]:
    providers = reach is not Reach.SERVERS
    clusters = {names.MODELS_CLUSTER: models_cluster(settings, providers=providers)}
    if settings.fail_open_pool is not None:
        clusters[names.FAIL_OPEN_CLUSTER] = fail_open_cluster(settings)
    resources = {
        names.CLUSTER_TYPE: {name: bytes(Cluster.from_dict(raw)) for name, raw in clusters.items()},
    }
    identity = settings.governance.identity
    if identity is not None and identity.jwt is not None:
        resources[names.CLUSTER_TYPE][names.ISSUER_CLUSTER] = issuer_cluster(identity.jwt)
    if settings.tls.gateway is not None:
        secret = Secret.from_dict(gateway_secret(settings.tls.gateway))
        resources[names.SECRET_TYPE] = {names.GATEWAY_SECRET: bytes(secret)}
    return resources
