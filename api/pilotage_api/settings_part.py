"""The base of all settings."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class SettingsPart(BaseModel):
    """Base of all settings: camelCase in files, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )
