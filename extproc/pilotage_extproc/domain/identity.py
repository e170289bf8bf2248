"""Who asks, as far as the gateway has found out."""

from typing import Final, NamedTuple


class Identity(NamedTuple):
    """The parties a request counts for; an empty name is not known."""

    tenant: str = ""
    team: str = ""
    key: str = ""
    """Id of the API key, never the key itself."""
    user: str = ""


ANONYMOUS: Final = Identity()
"""Of a request whose sender nothing is known of."""
