"""Secrets of providers in a cluster: watched where the settings say, and kept in memory only."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import msgspec

from pilotage_extproc.sources.provider_credentials import CredentialError
from pilotage_kube.client import ApiClient
from pilotage_kube.informer import Change, Informer, InformerOptions
from pilotage_kube.resource import SECRETS, ObjectKey
from pilotage_kube.wire import typed

SECRET_TYPE: Final = "pilotage.dev/provider"  # noqa: S105 - a name
HOSTS_ANNOTATION: Final = "pilotage.dev/hosts"
_SEPARATOR: Final = re.compile(r"[\s,]+")


class _Metadata(msgspec.Struct, frozen=True):
    annotations: dict[str, str] | None = None


class _Secret(msgspec.Struct, frozen=True):
    metadata: _Metadata
    data: dict[str, str] | None = None
    type: str = ""

    def __repr__(self) -> str:
        """Nothing of what it holds."""
        return "Secret()"


class ProviderSecretWatch:
    """Follows the Secrets of type `pilotage.dev/provider`; `run` it as a task."""

    def __init__(
        self,
        client: ApiClient,
        on_change: Callable[[], None],
        *,
        namespaces: tuple[str, ...],
        options: InformerOptions | None = None,
    ) -> None:
        self.changes = 0
        """How many changes have been seen."""
        self._on_change = on_change
        self._informers = {
            namespace: Informer(
                client,
                SECRETS,
                typed(_Secret),
                namespace=namespace,
                fields=f"type={SECRET_TYPE}",
                on_change=self._changed,
                options=options,
            )
            for namespace in namespaces
        }

    async def run(self) -> NoReturn:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for namespace, informer in self._informers.items():
                tasks.create_task(informer.run(), name=f"watch of provider Secrets in {namespace}")
            await asyncio.Event().wait()
        raise AssertionError

    def values(self, namespace: str, name: str, host: str) -> Mapping[str, str]:
        """A Secret's values, still in base64, for a host it may be sent to. Raises CredentialError."""
        key = f"{namespace}/{name}"
        informer = self._informers.get(namespace)
        if informer is None:
            message = f"Secrets of {namespace} are not read: add it to providers.secretNamespaces"
            raise CredentialError(message, "NamespaceNotListed")
        if not informer.synced:
            why = informer.problem or "not listed yet"
            raise CredentialError(f"Secrets of {namespace} cannot be read: {why}", "SecretsNotSeen")
        secret = informer.store.get(ObjectKey(namespace, name))
        if secret is None or secret.type != SECRET_TYPE:
            raise CredentialError(f"there is no Secret {key} of type {SECRET_TYPE}")
        hosts = _SEPARATOR.split((secret.metadata.annotations or {}).get(HOSTS_ANNOTATION, "").strip())
        if not any(_allows(one.lower(), host) for one in hosts if one):
            message = f"the annotation {HOSTS_ANNOTATION} of Secret {key} does not name {host}"
            raise CredentialError(message, "HostNotPermitted")
        return secret.data or {}

    def _changed(self, _change: Change[Any]) -> None:
        self.changes += 1
        self._on_change()


def secret_value(values: Mapping[str, str], key: str, what: str) -> bytes:
    """One value of a Secret. Raises CredentialError where it is missing."""
    if key not in values:
        raise CredentialError(f"{what} has no key {key}")
    try:
        return base64.b64decode(values[key], validate=True)
    except (binascii.Error, ValueError):
        raise CredentialError(f"{what} has a key {key} that is no base64") from None


def _allows(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern
