"""Headers of answers by which a server could steer Envoy or the picker: taken off as they come in.

`x-envoy-ratelimited` alone keeps the router from trying the next of a list, and our own names tell it to.
Only an upstream filter sees what a server itself has said, before any filter here has added to it.
"""

from typing import Final

from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import HeaderMutation

from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields, extension

_ENVOYS: Final = "x-envoy-"


def of_endpoints() -> Fields:
    """The filter for all endpoints, providers' hops too, which are a listener of Envoy's own."""
    return _without({"prefix": _ENVOYS}, {"exact": names.OVERFLOWS})


def of_servers() -> Fields:
    """The filter for what a server itself says, own ones and providers alike: nothing of it is for us.

    A provider's hop answers with names of ours, so it is not for the endpoint of a hop.
    """
    return _without({"prefix": _ENVOYS}, {"prefix": names.OWN_PREFIX})


def _without(*matchers: Fields) -> Fields:
    removed = [{"removeOnMatch": {"keyMatcher": {**one, "ignoreCase": True}}} for one in matchers]
    return extension(
        "envoy.filters.http.header_mutation", HeaderMutation, {"mutations": {"responseMutations": removed}}
    )
