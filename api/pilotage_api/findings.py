"""What the compiler found: errors, warnings and notes that name the resource, the field and the fix."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The resource, or the part named, does not take effect."""
    WARNING = "warning"
    """It takes effect, but hardly as meant."""
    INFO = "info"


@dataclass(slots=True, frozen=True, order=True)
class ResourceKey:
    """Names one resource."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing found."""

    severity: Severity
    code: str
    """Stable, for machines: `unknown-field`, `name-conflict` …"""
    message: str
    resource: ResourceKey | None = None
    path: str = ""
    """The field, such as `spec.models[0].name`."""
    fix: str = ""
    source: str = ""
    """File and document the resource came from, where it came from one."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON output."""
        values = asdict(self)
        values["severity"] = self.severity.value
        values["resource"] = None if self.resource is None else str(self.resource)
        return values
