"""Secrets of providers in a cluster, for Envoys that have proven who they are."""

from collections.abc import Iterable
from typing import Final

from pilotage_api.external_snapshot import ClientCertificateSnapshot, CredentialSnapshot, ExternalSnapshot
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.domain.providers import provider_listener
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy.xds.provider_secrets import (
    ProviderSecrets,
    certificate_values,
    client_certificate_name,
    credential_name,
    credential_value,
)
from pilotage_extproc.envoy.xds.typed import Fields
from pilotage_extproc.server.provider_secret_sources import secret_scope
from pilotage_extproc.sources.provider_credentials import CredentialError, checked_credential
from pilotage_extproc.sources.provider_secrets import ProviderSecretWatch, secret_value

_ONLY_SECRETS: Final = "in a cluster credentials come from Secrets only: name one in secretRef"
_MOST_BYTES: Final = 64 << 10


class ClusterSecrets:
    """Values of Secrets, given to Envoys over mutually authenticated TLS and to nobody else."""

    def __init__(self, watch: ProviderSecretWatch, settings: GatewaySettings) -> None:
        self._watch = watch
        self._settings = settings

    def follow(self, pools: Iterable[PoolSnapshot]) -> None:
        """Nothing: all Secrets of the namespaces are followed."""

    def of(self, pool: str, external: ExternalSnapshot) -> ProviderSecrets:
        """The values for a pool's provider. Raises CredentialError."""
        if external.credential is None and external.client_certificate is None:
            return ProviderSecrets()
        if self._settings.tls.envoy is None:
            message = "credentials are told to Envoy over mutually authenticated TLS only: set tls.envoy"
            raise CredentialError(message, "TlsNotMutual")
        provider = f"{provider_listener(pool)}/{secret_scope(external)}"
        by_name: dict[str, Fields] = {}
        credential = client = None
        if external.credential is not None:
            credential = credential_name(provider)
            by_name[credential] = credential_value(
                credential, self._credential(external, external.credential)
            )
        if external.client_certificate is not None:
            client = client_certificate_name(provider)
            by_name[client] = self._certificate(client, external, external.client_certificate)
        return ProviderSecrets(Reach.SECRETS, credential, client, by_name)

    def state(self) -> object:
        """How many changes of Secrets have been seen."""
        return self._watch.changes

    def _credential(self, external: ExternalSnapshot, credential: CredentialSnapshot) -> str:
        if credential.secret is None:
            raise CredentialError(_ONLY_SECRETS, "NotFromSecret")
        named = credential.secret
        values = self._watch.values(named.namespace, named.name, external.host)
        what = f"Secret {named.namespace}/{named.name}"
        return checked_credential(secret_value(values, named.key, what), f"key {named.key} of {what}")

    def _certificate(
        self, name: str, external: ExternalSnapshot, client: ClientCertificateSnapshot
    ) -> Fields:
        if client.secret is None:
            raise CredentialError(_ONLY_SECRETS, "NotFromSecret")
        namespace, _, secret = client.secret.partition("/")
        values = self._watch.values(namespace, secret, external.host)
        what = f"Secret {client.secret}"
        chain, key = (_pem(secret_value(values, part, what), what) for part in ("tls.crt", "tls.key"))
        return certificate_values(name, chain, key)


def _pem(value: bytes, what: str) -> str:
    if not value.startswith(b"-----BEGIN ") or len(value) > _MOST_BYTES:
        raise CredentialError(f"{what} holds no PEM in tls.crt or tls.key")
    return value.decode("ascii", "replace")
