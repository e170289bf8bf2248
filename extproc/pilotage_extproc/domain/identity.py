"""Who asks, as far as the gateway has found out."""

from hashlib import sha256
from typing import Final, NamedTuple


class Identity(NamedTuple):
    """The parties a request counts for; an empty name is not known."""

    tenant: str = ""
    team: str = ""
    key: str = ""
    """Id of the API key, never the key itself."""
    user: str = ""

    def holder(self) -> str:
        """Stands for the tenant where only it may have what was stored for it; empty without one."""
        if not self.tenant:
            return ""
        return sha256(self.tenant.encode("utf-8", "surrogatepass")).hexdigest()[:32]


ANONYMOUS: Final = Identity()
"""Of a request whose sender nothing is known of."""
