"""Service accounts with exactly the rights that are named."""

import json
from typing import Any

from pilotage_kube.client import ApiClient
from pilotage_kube.resource import ResourceType

SERVICE_ACCOUNTS = ResourceType("", "v1", "serviceaccounts", "ServiceAccount")
ROLES = ResourceType("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = ResourceType("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


def rule(group: str, resource: str, *verbs: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """One rule of a role; `names` limits it to objects of these names."""
    found = {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
    return found | ({"resourceNames": list(names)} if names else {})


async def token_with(client: ApiClient, namespace: str, name: str, *rules: dict[str, Any]) -> str:
    """The token of a new service account that may do this in its namespace, and nothing else."""
    await client.create(SERVICE_ACCOUNTS, SERVICE_ACCOUNTS.object(name), namespace)
    await client.create(ROLES, ROLES.object(name, rules=list(rules)), namespace)
    binding = ROLE_BINDINGS.object(
        name,
        roleRef={"apiGroup": ROLES.group, "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    )
    await client.create(ROLE_BINDINGS, binding, namespace)
    told = await client.request("POST", SERVICE_ACCOUNTS.path(namespace, name, "token"), body={})
    return str(json.loads(told)["status"]["token"])
