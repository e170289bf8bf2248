"""Whether a tenant may use the model that a request names."""

from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.routing_index import CurrentIndex


class Authorize(Step):
    """Refuses models that are not the tenant's, as one that does not exist."""

    name = "authorize"

    def __init__(self, current: CurrentIndex) -> None:
        self._current = current

    def apply(self, exchange: Exchange) -> None:
        """Raises RequestRefused (404)."""
        tenant = self._current.index.tenants.get(exchange.identity.tenant)
        if tenant is None or exchange.call.response_id is not None:
            return
        model = exchange.document.model
        if not tenant.allows_model(model):
            message = f"The model `{model[:256]}` does not exist, or you may not use it."
            raise RequestRefused(Refusal.MODEL_NOT_FOUND, message, param="model")
