"""What the compiler found: errors, warnings and notes that name the resource, the field and the fix."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol

_MAX_SHOWN = 80


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
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

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
    """`FILE:LINE` of the field, or of the nearest thing above it; empty where it came from no file."""

    @property
    def file(self) -> str:
        """The file's name; empty where there is none."""
        file, colon, line = self.source.rpartition(":")
        return file if colon and line.isdigit() else self.source

    @property
    def line(self) -> int | None:
        """The line in the file, from 1."""
        _, colon, line = self.source.rpartition(":")
        return int(line) if colon and line.isdigit() else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON output."""
        values = asdict(self)
        values["severity"] = self.severity.value
        values["resource"] = None if self.resource is None else str(self.resource)
        values["file"], values["line"] = self.file, self.line
        return values


def shown(value: object) -> str:
    """A value as a message quotes it: short, and without control characters."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


class Find(Protocol):
    """Takes a finding about a resource's field."""

    def __call__(
        self, severity: Severity, code: str, message: str, key: ResourceKey, path: str, fix: str
    ) -> None: ...
