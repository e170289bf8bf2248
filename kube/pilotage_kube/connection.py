"""Where an API server is and how to speak to it: in a pod, or by a kubeconfig."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from pilotage_kube.credentials import Credentials, FixedHeaders, TokenFile
from pilotage_kube.errors import ConfigurationError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(slots=True)
class Connection:
    """One API server, one identity, and the namespace that is meant where none is named."""

    server: str
    """`https://host:port`, perhaps with a path."""
    namespace: str = "default"
    credentials: Credentials = field(default_factory=FixedHeaders, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None for plain HTTP."""
    tls_server_name: str | None = None
    """The name the certificate must have, where it is not the host's."""
    proxy: str | None = None


def client_tls(
    ca_file: Path | None = None, ca_text: str | None = None, *, verify: bool = True
) -> ssl.SSLContext:
    """TLS that trusts this authority, or the system's where none is given. Raises ConfigurationError."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file), cadata=ca_text)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read the certificate authority {ca_file or 'of the kubeconfig'}: {error}"
        ) from error
    # kubeadm and kind make authorities that Python 3.13 finds not strict enough; no other client does
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def in_pod(folder: Path = SERVICE_ACCOUNT) -> Connection:
    """The API server of the cluster this process runs in, as its service account.

    Raises ConfigurationError.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigurationError("not in a pod: KUBERNETES_SERVICE_HOST is not set")
    if not (folder / "token").exists():
        raise ConfigurationError(
            f"no service account token in {folder}: automountServiceAccountToken must not be false"
        )
    try:
        namespace = (folder / "namespace").read_text().strip()
    except OSError:
        namespace = "default"
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=namespace,
        credentials=TokenFile(folder / "token"),
        tls=client_tls(folder / "ca.crt"),
    )
