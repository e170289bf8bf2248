"""CORS by Envoy's own filter: preflight requests are answered before the picker is asked."""

from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import Cors, CorsPolicy

from pilotage_api.settings import CorsSettings
from pilotage_extproc.dialects.table import CALLS
from pilotage_extproc.envoy.xds.typed import Fields, any_of, extension

_FILTER = "envoy.filters.http.cors"
_METHODS = tuple(dict.fromkeys(("GET", "DELETE", *(call.method for call in CALLS))))
"""Of the calls of the table, models and stored responses."""


def cors_filters(settings: CorsSettings) -> list[Fields]:
    """The filter, which must stand first; none where no origin is allowed."""
    return [extension(_FILTER, Cors)] if settings.allow_origins else []


def cors_policy(settings: CorsSettings) -> Fields:
    """What a virtual host adds to its own fields: who may ask for what."""
    if not settings.allow_origins:
        return {}
    # Envoy takes the origin `*` for any
    policy: Fields = {
        "allowOriginStringMatch": [
            {"exact": origin, "ignoreCase": True} for origin in settings.allow_origins
        ],
        "allowMethods": ", ".join(_METHODS),
        "allowHeaders": ", ".join(settings.allow_headers),
        "exposeHeaders": ", ".join(settings.expose_headers),
        "maxAge": str(settings.max_age_seconds),
        "allowCredentials": settings.allow_credentials,
    }
    return {"typedPerFilterConfig": {_FILTER: any_of(CorsPolicy, policy)}}
