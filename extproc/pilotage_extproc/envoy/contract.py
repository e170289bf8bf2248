"""Names that the bootstrap, the xDS server and the access-log reader must agree on."""

MODELS_CLUSTER = "models"
"""The one cluster with every endpoint of every pool; its host is named by the pick."""
FAIL_OPEN_CLUSTER = "fail-open"
"""Endpoints of the pool that serves requests without a pick, where the settings name one."""
EXTPROC_CLUSTER = "pilotage-extproc"
ADMIN_CLUSTER = "envoy-admin"
"""Envoy's own admin address, for the two paths that may be seen from outside."""

LB_NAMESPACE = "envoy.lb"
DESTINATION = "x-gateway-destination-endpoint"
PILOTAGE_NAMESPACE = "pilotage"
REBIND = "rebind"
"""Key of the pick's metadata: upstream model by address, where the attempts' models differ."""
USAGE_NAMESPACE = "pilotage.usage"
"""Dynamic metadata that Envoy's own filters fill from responses."""

ENVOY_HEADER = "x-pilotage-envoy"
"""gRPC initial metadata: the Envoy's name."""
ROLE_HEADER = "x-pilotage-role"
REBIND_ROLE = "rebind"
"""Role of the upstream ext_proc filter, which shares port and service with the picker."""

DECISION_RESPONSE_HEADER = "x-pilotage-decision"
OWN_ANSWER_DETAILS = "pilotage_"
"""Prefix of the details of immediate responses, which Envoy must not reshape."""
CLUSTER_TYPE = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a name
GATEWAY_SECRET = "gateway"  # noqa: S105 - a name
"""The listener's certificate: served as file names, since Envoy watches only files of served secrets."""

TTFT_TAG = "ttft_us"
"""Microseconds to the first byte of the response's body; a dash where there was none."""
