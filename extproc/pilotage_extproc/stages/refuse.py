"""Requests of a policy that cannot be kept are refused, not served without it."""

from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step


class Refuse(Step):
    """Refuses every request of a policy."""

    name = "refuse"

    def __init__(self, policy: str, why: str) -> None:
        self._message = f"The policy {policy} cannot be kept: {why}."

    def apply(self, exchange: Exchange) -> None:  # noqa: ARG002 - whatever it is
        """Raises RequestRefused (503)."""
        raise RequestRefused(Refusal.LIMITS_AWAY, self._message)
