"""Exactly what the operator may do, as rules of Roles. The chart's Roles are held against these."""

from accounts import rule

LEASE_GROUP = "coordination.k8s.io"

OPERATOR_NAMESPACE = (
    rule("", "configmaps", "get", "list", "create", "update", "delete"),
    rule(LEASE_GROUP, "leases", "get", "list", "watch", "create", "update", "patch"),
)
"""In the namespace where snapshot, Lease and replica reports live."""

OPERATOR_WATCHED = (
    rule("pilotage.dev", "modelpools", "get", "list", "watch"),
    rule("pilotage.dev", "routepolicies", "get", "list", "watch"),
    rule("pilotage.dev", "modelpools/status", "patch"),
    rule("pilotage.dev", "routepolicies/status", "patch"),
    rule("events.k8s.io", "events", "create"),
)
"""In each watched namespace; as a ClusterRole where all are watched."""

OPERATOR_CLUSTER = (rule("", "namespaces", "list", "watch"),)
"""Only where more than one namespace is watched: labels of namespaces decide who may use a pool."""
