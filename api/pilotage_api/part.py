"""The base of every part of a snapshot."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Part(BaseModel):
    """A frozen part of a snapshot; people are shown its fields in camelCase, as everything else."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)
