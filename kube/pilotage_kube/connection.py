"""Where an API server is and who asks it: in a pod, or by a kubeconfig.

The official client, which reads both, is imported where a cluster is used and nowhere else.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pilotage_kube.errors import ConfigurationError

if TYPE_CHECKING:
    from pilotage_kube.access import Access

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Credentials(Protocol):
    """Knows where the server's address, its authority and the caller's identity are to be read."""

    async def load(self, *, refused: bool = False) -> "Access":
        """All of it as it is now; `refused` says that what was loaded last was answered 401.

        Raises ConfigurationError.
        """
        ...


@dataclass(slots=True, frozen=True)
class Connection:
    """One API server, one identity, and the namespace that is meant where none is named."""

    server: str
    """`https://host:port`, perhaps with a path."""
    namespace: str
    credentials: Credentials = field(repr=False)


def connect(kubeconfig: Path | None = None, context: str | None = None) -> Connection:
    """As kubectl finds it: a named file, else $KUBECONFIG, else the pod's own account, else ~/.kube/config.

    Raises ConfigurationError.
    """
    if kubeconfig is not None:
        return from_kubeconfig([kubeconfig], context)
    named = os.environ.get("KUBECONFIG")
    if named:
        return from_kubeconfig([Path(one) for one in named.split(os.pathsep) if one], context)
    if context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return in_pod()
    return from_kubeconfig([Path.home() / ".kube" / "config"], context)


def from_kubeconfig(files: list[Path], context: str | None = None) -> Connection:
    """The named context, or the current one, of these files; the first file that sets a thing wins.

    Raises ConfigurationError for whatever is wrong before anyone is asked.
    """
    from pilotage_kube.kubeconfig import Kubeconfig  # noqa: PLC0415 - see the module

    found = Kubeconfig(files, context)
    return Connection(found.server, found.namespace, found)


def in_pod(folder: Path = SERVICE_ACCOUNT) -> Connection:
    """The API server of the cluster this process runs in, as its service account.

    Raises ConfigurationError.
    """
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise ConfigurationError("not in a pod: KUBERNETES_SERVICE_HOST is not set")
    if not (folder / "token").exists():
        raise ConfigurationError(
            f"no service account token in {folder}: automountServiceAccountToken must not be false"
        )
    from pilotage_kube.service_account import ServiceAccount  # noqa: PLC0415 - see the module

    found = ServiceAccount(folder)
    return Connection(found.server, found.namespace, found)
