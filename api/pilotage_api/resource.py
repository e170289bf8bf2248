"""What all resources share: metadata, and the base of every typed block."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
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
NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
NO_CONTROLS: Final = r"^\S([^\x00-\x1f\x7f-\x9f]*\S)?$"
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=253)]
Namespace = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=NO_CONTROLS)]
"""What clients and engines call a model: any text without control characters, blank at neither end."""
ShortText = Annotated[str, StringConstraints(max_length=63)]
_LABEL_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=rf"^({_LABEL_WORD})?$")]
_LABEL_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_KEY: Final = re.compile(rf"((?=.{{1,253}}/){_LABEL_PREFIX}/)?(?=.{{1,63}}\Z){_LABEL_WORD}\Z")
"""As Kubernetes writes them: `app`, `app.kubernetes.io/name`."""

RESERVED = "x-pilotage-reserved"
"""Marks a field of a later version in its JSON schema; the value is the JSON type it will have."""
LEFT_OUT = "x-pilotage-left-out"
LIST_TYPE = "x-kubernetes-list-type"
LIST_KEYS = "x-kubernetes-list-map-keys"
VALIDATIONS = "x-kubernetes-validations"

ReservedObject = Annotated[Any, Field(default=None, json_schema_extra={RESERVED: "object"})]


def unique_by(*keys: str) -> dict[str, Any]:
    """Marks a list whose items differ in these fields: a map to the API server, checked by `load` too."""
    return {LIST_TYPE: "map", LIST_KEYS: list(keys)}


UNIQUE: Final[dict[str, Any]] = {LIST_TYPE: "set"}
"""Marks a list of values that all differ."""


STAYS_LEFT_OUT: Final[dict[str, Any]] = {LEFT_OUT: True}
"""Marks a field, newer than its block, whose default the API server does not fill in. Else every resource
would have the field, and an operator of the version before, rolled back to, would refuse them all."""


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """Marks a block with CEL rules and their messages; its `problems()` says the same in Python."""
    return {VALIDATIONS: [{"rule": rule, "message": message} for rule, message in rules]}


@dataclass(slots=True, frozen=True)
class Problem:
    """Something a schema cannot say is wrong with a block."""

    code: str
    path: str
    """Below the block; empty for the block itself."""
    message: str
    fix: str


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

    def problems(self) -> Iterable[Problem]:
        """What is wrong with this block alone; `cel()` says the same to the API server."""
        return ()


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


def marks(block: type[BaseModel], attribute: str) -> dict[str, Any]:
    """What a field's JSON schema is marked with."""
    extra = block.model_fields[attribute].json_schema_extra
    return extra if isinstance(extra, dict) else {}
