"""Containers of a provider: where code of earlier requests has run, with its files."""

from typing import Any


def is_there(container: Any) -> bool:
    """Whether it names a container of an earlier request, and is no wish for a new one."""
    return container.get("id") is not None if isinstance(container, dict) else container is not None
