"""Where the secrets of providers come from: files and variables outside a cluster, Secrets in one."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from pilotage_api.external_snapshot import ClientCertificateSnapshot, CredentialSnapshot, ExternalSnapshot
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.domain.providers import provider_listener
from pilotage_extproc.envoy.xds.provider_secrets import (
    ProviderSecrets,
    certificate_files,
    client_certificate_name,
    credential_file,
    credential_name,
)
from pilotage_extproc.envoy.xds.typed import Fields
from pilotage_extproc.sources.provider_credentials import CredentialError, CredentialFiles

_IN_A_CLUSTER: Final = "Secrets are read in a cluster only: name a file or a variable"


class SecretSources(Protocol):
    """Gives providers their secrets."""

    def follow(self, pools: Iterable[PoolSnapshot]) -> None:
        """These pools have providers."""

    def of(self, pool: str, external: ExternalSnapshot) -> ProviderSecrets:
        """All secrets of a pool's provider. Raises CredentialError where one is missing or not to be used."""

    def state(self) -> object:
        """What differs as soon as anything `of` gives may differ."""


def secret_scope(external: ExternalSnapshot) -> str:
    """What a provider's secrets are named by beside its pool: host, port, and where they are.

    A pool that is edited to name another host gets other names, so that Envoy, which takes over one resource
    after another, never sends the credential of one host to the other.
    """
    parts = (external.host, external.port, external.credential, external.client_certificate)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class LocalSecrets:
    """Files and variables, for a gateway on one machine."""

    def __init__(self, files: CredentialFiles, signature: "Callable[[str], object] | None" = None) -> None:
        """`signature` tells two states of a file apart."""
        self._files = files
        self._signature = signature or _signature
        self._named: list[str] = []

    def follow(self, pools: Iterable[PoolSnapshot]) -> None:
        """These pools have providers."""
        self._named = sorted({file for pool in pools for file in _files_of(pool)})

    def of(self, pool: str, external: ExternalSnapshot) -> ProviderSecrets:
        """File names for Envoy. Raises CredentialError."""
        provider = f"{provider_listener(pool)}/{secret_scope(external)}"
        by_name: dict[str, Fields] = {}
        credential = client = None
        if external.credential is not None:
            credential = credential_name(provider)
            read = self._credential(external.credential)
            by_name[credential] = credential_file(credential, read, external.credential.file)
        if external.client_certificate is not None:
            client = client_certificate_name(provider)
            by_name[client] = self._certificate(client, external.client_certificate)
        return ProviderSecrets(credential=credential, client_certificate=client, by_name=by_name)

    def state(self) -> object:
        """Of each file, what changes when it is written or replaced."""
        return [(file, self._signature(file)) for file in self._named]

    def _credential(self, credential: CredentialSnapshot) -> str:
        if credential.file is not None:
            return self._files.of_file(credential.file)
        if credential.env is not None:
            return self._files.of_variable(credential.env)
        raise CredentialError(_IN_A_CLUSTER)

    def _certificate(self, name: str, client: ClientCertificateSnapshot) -> Fields:
        if client.cert_file is None or client.key_file is None:
            raise CredentialError(_IN_A_CLUSTER)
        for file in (client.cert_file, client.key_file):
            if not Path(file).is_file():
                raise CredentialError(f"{file} is no file")
        return certificate_files(name, client.cert_file, client.key_file)


def _files_of(pool: PoolSnapshot) -> Iterable[str]:
    external = pool.external
    if external is None:
        return
    if external.credential is not None and external.credential.file is not None:
        yield external.credential.file
    client = external.client_certificate
    if client is not None and client.cert_file is not None and client.key_file is not None:
        yield from (client.cert_file, client.key_file)


def _signature(file: str) -> object:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
