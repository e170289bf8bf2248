"""A decision: the ordered list of attempts for one request, and what it was based on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Target(NamedTuple):
    """One attempt: this endpoint, under this upstream model name."""

    row: int
    """Row in the endpoint table at the time of the decision."""
    address: str
    """Envoy address, `ip:port`: opaque, what the pick names."""
    pool: str
    """`namespace/name`."""
    upstream_model: str
    adapter: bool = False
    """Whether that is a LoRA adapter."""


@dataclass(slots=True)
class Decision:
    """The result of the pipeline for one request; `targets` is never empty."""

    id: str
    """`<process id>-<sequence>`: says which process holds the record."""
    targets: tuple[Target, ...]
    model: str
    """The name the client asked for; empty for a call without one."""
    policy: str | None
    """`namespace/name` of the policy that matched."""
    rule: str | None
    snapshot_version: str
    decided_at: float
    """Monotonic seconds."""


@dataclass(slots=True)
class DirectAnswer:
    """A request the gateway answers itself (`GET /v1/models`)."""

    body: bytes
    http_status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside the content type."""
