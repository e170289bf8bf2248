"""`ModelPool.spec.external`: a hosted API in the place of own servers, and how to speak to it."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pilotage_api.address import ADDRESS_MESSAGE, Address, address_problem
from pilotage_api.credentials import is_credential
from pilotage_api.external_snapshot import (
    ClientCertificateSnapshot,
    CredentialSnapshot,
    ExternalSnapshot,
    HeaderSnapshot,
    ProviderDialect,
    SecretKeySnapshot,
)
from pilotage_api.findings import shown
from pilotage_api.resource import Block, Name, Problem, cel, unique_by

_TOKEN: Final = r"^[a-z0-9][-a-z0-9_]*$"  # noqa: S105 - of a header's name
_NOT_STATIC: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
"""Belong to the connection or the body, or say who asks."""
_NOT_STATIC_PREFIXES: Final = ("x-envoy-", "x-pilotage-", "x-forwarded-", "x-gateway-", "x-llm-d-")
_PATH_PREFIX: Final = r"^(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*$"

HeaderText = Annotated[
    str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$", max_length=1024)
]
"""Visible ASCII, blank at neither end."""
HeaderToken = Annotated[str, StringConstraints(pattern=_TOKEN, max_length=64)]
"""A header's name in lower case."""
SecretKey = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
FilePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f]*$", max_length=4096)]
"""An absolute path."""


class StaticHeader(Block):
    """A header that each request to the provider has."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!(self.name in ["
                + ", ".join(f"'{name}'" for name in sorted(_NOT_STATIC))
                + r"]) && !self.name.matches('^x-(envoy|pilotage|forwarded|gateway|llm-d)-')",
                "the gateway sets this header itself",
            ),
            (
                r"!self.name.matches('^(authorization|cookie|set-cookie|api-?key)$|"
                r"-(api-key|token|authorization|secret|password)$|^x-forwarded-client-cert$')",
                "this header holds a credential: name it in auth",
            ),
        )
    )

    name: HeaderToken
    """In lower case. Credentials belong into `auth`."""
    value: HeaderText
    """Visible ASCII; it is no secret: everybody who may read the resource sees it."""

    def problems(self) -> Iterable[Problem]:
        """A header that is not the pool's to set."""
        if is_credential(self.name):
            message = f"{shown(self.name)} holds a credential"
            yield Problem("invalid-value", "name", message, "name it in auth, with a Secret")
        elif self.name in _NOT_STATIC or self.name.startswith(_NOT_STATIC_PREFIXES):
            message = f"{shown(self.name)} is set by the gateway itself"
            yield Problem("invalid-value", "name", message, "remove it")


class SecretKeyReference(Block):
    """A value in a Secret of type `pilotage.dev/provider`, in the pool's own namespace."""

    name: Name
    """The Secret. Its annotation `pilotage.dev/hosts` names the hosts it may be sent to."""
    key: SecretKey = Field(default="token")
    """Which of its values."""


class SecretReference(Block):
    """A Secret of type `pilotage.dev/provider`, in the pool's own namespace."""

    name: Name
    """The Secret, with the keys `tls.crt` and `tls.key`."""


_ONE_SOURCE: Final = "set one of secretRef, file and env"


class Auth(Block):
    """The credential that each request to the provider carries. Envoy adds it; nobody else sees it."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "(has(self.secretRef) ? 1 : 0) + (has(self.file) ? 1 : 0) + (has(self.env) ? 1 : 0) == 1",
                _ONE_SOURCE,
            ),
            ("!has(self.file) && !has(self.env)", "in a cluster credentials come from secretRef only"),
            (
                "(self.scheme == 'header') == has(self.header)",
                "header belongs to scheme: header, and is required there",
            ),
            ("self.scheme == 'header' || !has(self.prefix)", "prefix belongs to scheme: header"),
        )
    )

    scheme: Literal["bearer", "header"] = "bearer"
    """`bearer` is `Authorization: Bearer …`; `header` names the header."""
    header: HeaderToken | None = None
    """The header that holds it, in lower case: `x-api-key`, `api-key`."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]*[ ]?$", max_length=64)] | None = None
    """What stands before the credential in that header; nothing when omitted."""
    secret_ref: SecretKeyReference | None = None
    """In a cluster: where it is."""
    file: FilePath | None = None
    """Outside a cluster: a file that holds it and nothing else. It is read again when it changes."""
    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)] | None = None
    """Outside a cluster: an environment variable that holds it."""

    def problems(self) -> Iterable[Problem]:
        """No source, or two; a header without its scheme."""
        if sum(one is not None for one in (self.secret_ref, self.file, self.env)) != 1:
            yield Problem("invalid-value", "", _ONE_SOURCE, "secretRef in a cluster, else file or env")
        if (self.scheme == "header") != (self.header is not None):
            message = "header belongs to scheme: header, and is required there"
            yield Problem("invalid-value", "header", message, "set both or neither")
        if self.scheme != "header" and self.prefix is not None:
            yield Problem("invalid-value", "prefix", "prefix belongs to scheme: header", "remove it")
        if self.header in _NOT_STATIC or (self.header or "").startswith(_NOT_STATIC_PREFIXES):
            message = f"{shown(self.header)} is set by the gateway itself"
            yield Problem("invalid-value", "header", message, "name another header")

    def snapshot(self, namespace: str) -> CredentialSnapshot:
        """Where the credential is and how it is sent; never what it is."""
        secret = self.secret_ref
        return CredentialSnapshot(
            header="authorization" if self.header is None else self.header,
            prefix="Bearer " if self.scheme == "bearer" else self.prefix or "",
            secret=None
            if secret is None
            else SecretKeySnapshot(namespace=namespace, name=secret.name, key=secret.key),
            file=self.file,
            env=self.env,
        )


class ClientCertificate(Block):
    """The certificate that Envoy shows the provider."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.secretRef) && !has(self.certFile) && !has(self.keyFile)",
                "in a cluster client certificates come from secretRef only",
            )
        )
    )

    secret_ref: SecretReference | None = None
    """In a cluster: where it is."""
    cert_file: FilePath | None = None
    """Outside a cluster: certificate chain, PEM."""
    key_file: FilePath | None = None
    """Outside a cluster: private key, PEM."""

    def problems(self) -> Iterable[Problem]:
        """Neither a Secret nor two files."""
        files = (self.cert_file is not None, self.key_file is not None)
        if (self.secret_ref is None) != all(files) or (self.secret_ref is not None and any(files)):
            message = "set secretRef, or certFile and keyFile"
            yield Problem("invalid-value", "", message, "secretRef in a cluster, else both files")

    def snapshot(self, namespace: str) -> ClientCertificateSnapshot:
        """Where it is; never what it is."""
        secret = None if self.secret_ref is None else f"{namespace}/{self.secret_ref.name}"
        return ClientCertificateSnapshot(secret=secret, cert_file=self.cert_file, key_file=self.key_file)


class ProviderTls(Block):
    """How Envoy knows the provider, which is always spoken to over TLS and verified by its name."""

    ca_bundle: (
        Annotated[
            str,
            StringConstraints(
                min_length=1, max_length=1 << 17, pattern=r"^\s*-----BEGIN CERTIFICATE-----[\x20-\x7e\s]*$"
            ),
        ]
        | None
    ) = None
    """Certificates of authorities, PEM; those of the system (`providers.caFile`) when omitted."""
    client_certificate: ClientCertificate | None = None
    """Shown to the provider where it asks for one."""


class External(Block):
    """A hosted API."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "(self.dialect == 'azure') == has(self.apiVersion)",
                "apiVersion belongs to dialect: azure, and is required there",
            ),
            ("!self.pathPrefix.contains('..')", "pathPrefix has no .."),
        )
    )

    host: Address
    """Its DNS name. It is what TLS verifies, and must be one that `providers.hosts` allows."""
    port: int = Field(default=443, ge=1, le=65535, strict=True)
    """TCP port."""
    tls: ProviderTls = ProviderTls()
    """Authorities and client certificate."""
    dialect: ProviderDialect = ProviderDialect.OPENAI
    """Which API it speaks: `openai`, `openai-chat` (the same without Responses, as many servers have it),
    `azure` (deployments in the path), `anthropic`."""
    api_version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]+$", max_length=64)] | None = None
    """`api-version` of Azure OpenAI."""
    path_prefix: Annotated[str, StringConstraints(pattern=_PATH_PREFIX, max_length=512)] = ""
    """Stands before the path of each call, which begins at `/v1/`: `/openai`; nothing when omitted."""
    headers: list[StaticHeader] = Field(default=[], max_length=32, json_schema_extra=unique_by("name"))
    """Headers that each request has beside those of the call."""
    auth: Auth | None = None
    """The credential; none when omitted."""

    def problems(self) -> Iterable[Problem]:
        """A host that is none, a path that leads elsewhere, an Azure pool without its version."""
        wrong = address_problem(self.host)
        if wrong:
            fix = "write a name such as api.openai.com; the path goes into pathPrefix"
            yield Problem("invalid-value", "host", ADDRESS_MESSAGE.replace("address", "host", 1), fix)
        if any(part in (".", "..") for part in self.path_prefix.split("/")):
            message = "pathPrefix has a part . or .."
            yield Problem("invalid-value", "pathPrefix", message, "write the path that is meant")
        if (self.dialect is ProviderDialect.AZURE) != (self.api_version is not None):
            message = "apiVersion belongs to dialect: azure, and is required there"
            yield Problem("invalid-value", "apiVersion", message, "set both or neither")

    def snapshot(self, namespace: str) -> ExternalSnapshot:
        """What extproc needs of it."""
        client = self.tls.client_certificate
        return ExternalSnapshot(
            host=self.host.lower().removesuffix("."),
            port=self.port,
            dialect=self.dialect,
            api_version=self.api_version,
            path_prefix=self.path_prefix,
            headers=tuple(HeaderSnapshot(name=one.name, value=one.value) for one in self.headers),
            ca_bundle=self.tls.ca_bundle,
            client_certificate=None if client is None else client.snapshot(namespace),
            credential=None if self.auth is None else self.auth.snapshot(namespace),
        )
