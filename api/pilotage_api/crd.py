"""CustomResourceDefinitions out of the resource types."""

from typing import Any


def custom_resource_definitions() -> list[dict[str, Any]]:
    return []
