"""Queues of policies as extproc follows them."""

from pilotage_api.part import Part


class QueueSnapshot(Part):
    """How requests of a policy wait for room."""

    max_wait_seconds: float
    max_requests: int
    max_bytes: int
    minimum_share: float
    """Of what is let through while higher priorities wait, 0 to 1."""
    priority: int = 0
    """Of its requests, to which the tenant's is added; below 0 they are shed first."""
