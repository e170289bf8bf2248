"""Routes of requests whose pick says itself which failures lead on, one for each bound on silence.

Envoy takes which failures to retry from the route and from request headers together, so a pick that wants
fewer than usual needs a route that wants none. Silence can only be bounded by a route at all.
"""

from pilotage_api.settings import GatewaySettings
from pilotage_api.timeouts import IDLE_STEPS_SECONDS
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields, seconds


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
                "numRetries": 0,  # the pick says how many, and on what
                "retryBackOff": {"baseInterval": seconds(0.005), "maxInterval": seconds(0.05)},
            },
        },
    }
