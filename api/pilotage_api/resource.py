"""What all resources share: metadata, and the base of every typed block."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "pilotage.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "pilotage.dev/v1alpha1"
DEFAULT_NAMESPACE = "default"
OLDEST = datetime.min.replace(tzinfo=UTC)

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Namespace = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]

Reserved = Annotated[Any, Field(default=None, json_schema_extra={"x-pilotage-reserved": True})]
"""A field of a later version: accepted by the schema as anything, refused by the compiler and by CEL."""


class Block(BaseModel):
    """A typed part of a resource: camelCase outside, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        coerce_numbers_to_str=False,
    )


class ObjectMeta(BaseModel):
    """The part of Kubernetes object metadata that matters here; the rest is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    name: Name
    namespace: Namespace = DEFAULT_NAMESPACE
    labels: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    generation: int = 0
    uid: str = ""

    @property
    def created(self) -> datetime:
        """When the resource was made; files have no time and count as equally old."""
        at = self.creation_timestamp
        if at is None:
            return OLDEST
        return at if at.tzinfo else at.replace(tzinfo=UTC)


def reserved_fields(block: type[BaseModel]) -> dict[str, str]:
    """Reserved fields of a block: attribute name to the name in files."""
    found = {}
    for attribute, field in block.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("x-pilotage-reserved"):
            found[attribute] = field.alias or attribute
    return found
