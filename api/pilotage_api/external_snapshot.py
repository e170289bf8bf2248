"""A hosted provider, as extproc gets it."""

from enum import StrEnum

from pilotage_api.part import Part


class ProviderDialect(StrEnum):
    """Which API a hosted provider speaks."""

    OPENAI = "openai"
    OPENAI_CHAT = "openai-chat"
    """OpenAI's without Responses, as many servers have it."""
    AZURE = "azure"
    """OpenAI's, with deployments in the path."""
    ANTHROPIC = "anthropic"


class HeaderSnapshot(Part):
    """A header with its value."""

    name: str
    value: str


class SecretKeySnapshot(Part):
    """A value in a Secret."""

    namespace: str
    name: str
    key: str


class CredentialSnapshot(Part):
    """Where a provider's credential is and how it is sent, never what it is; one of the three is set."""

    header: str
    prefix: str
    """What stands before it."""
    secret: SecretKeySnapshot | None = None
    file: str | None = None
    env: str | None = None


class ClientCertificateSnapshot(Part):
    """Where a client certificate and its key are: in a Secret, `namespace/name`, or in two files."""

    secret: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class ExternalSnapshot(Part):
    """A hosted provider: the server of its pool."""

    host: str
    port: int
    dialect: ProviderDialect
    api_version: str | None = None
    path_prefix: str = ""
    headers: tuple[HeaderSnapshot, ...] = ()
    ca_bundle: str | None = None
    """PEM; None is the system's."""
    client_certificate: ClientCertificateSnapshot | None = None
    credential: CredentialSnapshot | None = None
