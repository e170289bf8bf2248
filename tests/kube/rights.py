"""The rights a picker needs, and no more."""

from accounts import rule

LEASE_GROUP = "coordination.k8s.io"
EXTPROC_OWN = (
    # the snapshot's shards are named by their content, its head by the settings
    rule("", "configmaps", "get"),
    rule("", "configmaps", "list", "watch", names=("pilotage-snapshot",)),
    # its own report, and where its siblings are
    rule(LEASE_GROUP, "leases", "get", "list", "watch", "create", "patch", "delete"),
)
"""In the namespace of snapshot and reports."""
EXTPROC_WATCHED = (
    rule("", "pods", "list", "watch"),
    rule("inference.networking.k8s.io", "inferencepools", "list", "watch"),
    rule("inference.networking.x-k8s.io", "inferenceobjectives", "list", "watch"),
)
"""In the namespaces whose pools it serves, and its own."""
