"""Where limits and budgets are counted, and written down."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pilotage_api.settings_part import SettingsPart


class ValkeySettings(SettingsPart):
    """A Valkey or Redis server that all pickers of the gateway count at: a single primary."""

    address: Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):[0-9]{1,5}$")]
    """`HOST:PORT`."""
    username: str | None = None
    """ACL user; the default one when unset."""
    password_file: str | None = None
    """File with the password; read again at each connection."""
    tls: bool = False
    """Connect by TLS, and check the certificate against the system's authorities or `caFile`."""
    ca_file: str | None = None
    """Authorities that the server's certificate is checked against, PEM."""
    database: int = Field(default=0, ge=0, le=1023)
    """Number of the database."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,40}$")] = "pilotage"
    """How its keys begin; gateways that share a server need one each."""
    timeout_seconds: float = Field(default=0.25, gt=0, le=10)
    """Longest wait for an answer; past it the server counts as away."""


class StoreSettings(SettingsPart):
    """Where what was used is counted."""

    valkey: ValkeySettings | None = None
    """For more than one picker, and for hard budgets; unset counts in each process by itself."""
    when_away: Literal["refuse", "serve"] = "refuse"
    """While it is away: `refuse` answers 503 with Retry-After; `serve` lets requests pass without limits and
    soft budgets. Hard budgets always refuse."""
    journal_dir: str | None = None
    """Folder in which each process writes down what was held and settled; `pilotage usage` and restarts
    read it. Unset writes nothing: what was spent is forgotten with the process."""
    journal_days: int = Field(default=100, ge=35, le=3660)
    """Days of it that are kept."""
