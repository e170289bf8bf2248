"""The identity of a pod, by the official client's in-cluster loader."""

from pathlib import Path

from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from pilotage_kube.access import Access, Configuration, Transport
from pilotage_kube.errors import ConfigurationError


class ServiceAccount:
    """Credentials from the folder that the kubelet keeps; a token is read again after a minute, as the
    official loader does, and at once after a refusal. Raises ConfigurationError."""

    def __init__(self, folder: Path) -> None:
        self._loader = InClusterConfigLoader(str(folder / "token"), str(folder / "ca.crt"))
        self.server: str = self._configured().host
        namespace = folder / "namespace"
        self.namespace = namespace.read_text().strip() if namespace.exists() else "default"

    async def load(self, *, refused: bool = False) -> Access:  # noqa: ARG002 - both read the files
        """The token, authority and address as they are now."""
        configuration = self._configured()
        return Access(Transport(configuration), configuration)

    def _configured(self) -> Configuration:
        configuration = Configuration()
        try:
            self._loader.load_and_set(configuration)
        except (ConfigException, OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the pod's service account cannot be used: {error}") from error
        return configuration
