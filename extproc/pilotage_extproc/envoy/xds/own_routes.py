"""Routes of requests whose pick says itself which failures lead on, one for each bound on silence.

Envoy takes which failures to retry from the route and from request headers together, so a pick that wants
fewer than usual needs a route that wants none. Silence can only be bounded by a route at all.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pilotage_api.settings import GatewaySettings
from pilotage_api.timeouts import IDLE_STEPS_SECONDS
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields, seconds

BY_HEADER: Final = "retriable-headers"
"""The condition under which headers of an answer lead on."""
TRY_NEXT: Final[Mapping[str, str | bool]] = MappingProxyType({"name": names.TRY_NEXT, "presentMatch": True})
"""Matches an attempt that its provider's hop did not make: the next follows, whatever else leads on."""


def own_routes(settings: GatewaySettings) -> list[Fields]:
    """The routes, to stand behind the usual one, which most requests take."""
    usual = settings.upstream.stream_idle_timeout_seconds
    return [_route(settings, names.USUAL_IDLE, usual)] + [
        _route(settings, str(step), float(step)) for step in IDLE_STEPS_SECONDS
    ]


def own_route_is_absent() -> Fields:
    """Matches picks that take the usual route."""
    return {**_own_route({"presentMatch": True}), "invert": True}


def _own_route(value: Fields) -> Fields:
    return {"filter": names.PILOTAGE_NAMESPACE, "path": [{"key": names.OWN_ROUTE}], "value": value}


def _route(settings: GatewaySettings, name: str, idle_seconds: float) -> Fields:
    return {
        "name": f"picked-{name}",
        "match": {"prefix": "/", "dynamicMetadata": [_own_route({"stringMatch": {"exact": name}})]},
        "route": {
            "cluster": names.MODELS_CLUSTER,
            "timeout": seconds(settings.upstream.request_timeout_seconds),
            "idleTimeout": seconds(idle_seconds),
            "retryPolicy": {
                "numRetries": 0,  # the pick says how many, and on what else
                "retryOn": BY_HEADER,
                "retriableHeaders": [TRY_NEXT],
                "retryBackOff": {"baseInterval": seconds(0.005), "maxInterval": seconds(0.05)},
            },
        },
    }
