"""The rights each part needs, and no more; the chart's roles are held against them."""

from accounts import rule

LEASE_GROUP = "coordination.k8s.io"
EXTPROC_OWN = (
    # the snapshot's shards are named by their content, its head by the settings
    rule("", "configmaps", "get"),
    rule("", "configmaps", "list", "watch", names=("pilotage-snapshot",)),
    # its own report, and where its peers are
    rule(LEASE_GROUP, "leases", "get", "list", "watch", "create", "patch", "delete"),
)
"""In the namespace of snapshot and reports."""
EXTPROC_WATCHED = (
    rule("", "pods", "list", "watch"),
    rule("inference.networking.k8s.io", "inferencepools", "list", "watch"),
    rule("llm-d.ai", "inferenceobjectives", "list", "watch"),
    rule("inference.networking.x-k8s.io", "inferenceobjectives", "list", "watch"),
)
"""In the namespaces whose pools it serves, and its own."""

EXTPROC_PROVIDERS = (rule("", "secrets", "list", "watch"),)
"""In the namespaces whose Secrets of providers it reads."""

EXTPROC_KEYS = (rule("", "secrets", "list", "watch"),)
"""In the namespace whose Secrets of API keys it reads."""

OPERATOR_NAMESPACE = (
    rule("", "configmaps", "get", "list", "create", "update", "delete"),
    rule(LEASE_GROUP, "leases", "get", "list", "watch", "create", "update", "patch"),
    # pickers read InferencePools here too
    rule("events.k8s.io", "events", "create"),
)
"""In the namespace where snapshot, Lease and replica reports live."""

OPERATOR_WATCHED = (
    rule("pilotage.dev", "modelpools", "get", "list", "watch"),
    rule("pilotage.dev", "routepolicies", "get", "list", "watch"),
    rule("pilotage.dev", "tenants", "get", "list", "watch"),
    rule("pilotage.dev", "modelpools/status", "patch"),
    rule("pilotage.dev", "routepolicies/status", "patch"),
    rule("pilotage.dev", "tenants/status", "patch"),
    rule("events.k8s.io", "events", "create"),
)
"""In each watched namespace; as a ClusterRole where all are watched."""

OPERATOR_CLUSTER = (rule("", "namespaces", "list", "watch"),)
"""Only where more than one namespace is watched: labels of namespaces decide who may use a pool."""
