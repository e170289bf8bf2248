"""A Lease that one process writes about itself."""

from collections.abc import Mapping
from typing import Any

from pilotage_kube.client import ApiClient
from pilotage_kube.errors import AlreadyExists, NotFound
from pilotage_kube.resource import LEASES


async def put_lease(
    client: ApiClient,
    name: str,
    namespace: str,
    metadata: dict[str, Any],
    spec: Mapping[str, Any],
    owner: Mapping[str, Any] | None,
) -> bool:
    """Change it, or make it, with its owner; False where it came to be meanwhile. Raises KubeError."""
    try:
        await client.merge(LEASES, name, {"metadata": metadata, "spec": spec}, namespace)
    except NotFound:
        if owner is not None:
            metadata = {**metadata, "ownerReferences": [owner]}
        body = LEASES.object(name, namespace, metadata=metadata, spec=spec)
        try:
            await client.create(LEASES, body, namespace)
        except AlreadyExists:
            return False
    return True
