"""A kubeconfig as kubectl reads it, by the official client's loader.

That one falls back to fewer credentials where kubectl refuses, and never sends impersonation: this is what
stays here (docs/decisions/0085).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config import kube_config as official
from multidict import CIMultiDict

from pilotage_kube.access import Access, Configuration, Transport
from pilotage_kube.errors import ConfigurationError
from pilotage_kube.exec_program import ExecProgram
from pilotage_kube.oidc import renewed

_EXEC_TIMEOUT_SECONDS = 60.0
_EXPIRY_MARGIN_SECONDS = 60.0
_REREAD_SECONDS = 10.0
_OIDC = "oidc"
_TOKEN_CHARACTERS = "!#$&'*+-.^_`|~"  # noqa: S105 - of a header's name


class Kubeconfig:
    """Credentials from a context of these files. Raises ConfigurationError."""

    def __init__(
        self,
        files: list[Path],
        context: str | None = None,
        *,
        exec_timeout_seconds: float = _EXEC_TIMEOUT_SECONDS,
    ) -> None:
        self._files = files
        self._context = context
        self._exec_timeout_seconds = exec_timeout_seconds
        self._names = ", ".join(map(str, files))
        with self._named():
            self._merged = self._read()
            loader = self._loader()
            loader.check()
        self.server = loader.server
        self.namespace = loader.namespace

    async def load(self, *, refused: bool = False) -> Access:
        """Who the context says the caller is; the files are read again after a refusal."""
        with self._named():
            if refused:
                self._merged = await asyncio.to_thread(self._read)
            return await self._loader().load()

    def _loader(self) -> "_Loader":
        merged = self._merged
        # the official client takes the last file's
        current = (merged.config_files[one].get("current-context") for one in merged.paths)
        context = self._context or next(filter(None, current), None)
        if not context:
            raise ConfigException("no current-context: name one with --context")
        return _Loader(merged, str(context), self._exec_timeout_seconds)

    def _read(self) -> official.KubeConfigMerger:
        merged = official.KubeConfigMerger(official.ENV_KUBECONFIG_PATH_SEPARATOR.join(map(str, self._files)))
        if not merged.paths:
            raise ConfigurationError(f"no kubeconfig at {self._names}")
        return merged

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Whatever is wrong with the files, as an error that names them; nothing of a key stays on disk."""
        try:
            yield
        except yaml.YAMLError as error:
            raise ConfigurationError(f"cannot read the kubeconfig {self._names}: {error}") from error
        except (ConfigException, ConfigurationError, OSError) as error:
            named = self._names in str(error)
            raise ConfigurationError(str(error) if named else f"{self._names}: {error}") from error
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"{self._names} is not a kubeconfig: a mapping with clusters, users and contexts"
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"{self._names}: a field is not what it should be: {error}") from error
        finally:
            # certificates and keys are written to files, which a connection no longer needs
            official._cleanup_temp_files()


class _Loader(official.KubeConfigLoader):
    def __init__(self, merged: official.KubeConfigMerger, context: str, exec_timeout_seconds: float) -> None:
        super().__init__(merged.config, active_context=context, config_base_path=None)
        chosen = self.current_context["context"]
        self._merged = merged
        self.namespace = str(chosen.get("namespace") or "default")
        self.server = str(self._cluster.safe_get("server") or "").rstrip("/")
        if not self.server.startswith(("http://", "https://")):
            raise ConfigException(f"cluster {chosen.get('cluster')!r} has no server URL")
        if self._user is None:
            if chosen.get("user"):
                raise ConfigException(f"no entry {chosen['user']!r} in users")
            self._user: Any = official.ConfigNode("user", {})
        if "auth-provider" in self._user and self.provider != _OIDC:
            raise ConfigException(f"auth-provider {self.provider} is no longer supported: use exec")
        self._program = None
        if self._user.safe_get("exec"):
            folder = Path(self._get_base_path(self._user.path))
            self._program = ExecProgram(self._user["exec"], folder, exec_timeout_seconds)
        self._valid_seconds: float | None = None

    def check(self) -> None:
        """Raises for what can be known to be wrong without asking a program or a provider."""
        configuration = Configuration()
        self._impersonation()
        self._load_cluster_info()
        self._set_config(configuration)
        Transport(configuration)

    async def load(self) -> Access:
        configuration = Configuration()
        await self.load_and_set(configuration)
        return Access(Transport(configuration), configuration, self._impersonation(), self._valid_seconds)

    async def _load_authentication(self) -> None:
        await super()._load_authentication()
        told = self._user.safe_get("tokenFile")
        if told and not self._user.safe_get("token"):
            if not getattr(self, "token", "").removeprefix("Bearer").strip():
                raise ConfigException(f"the token file {told} is empty")
            self._valid_seconds = _REREAD_SECONDS
        if self.provider == _OIDC:
            self._valid_seconds = _REREAD_SECONDS  # a look at the token's end, no more

    async def load_from_exec_plugin(self) -> bool:
        """The official client logs what fails here, and goes on without credentials."""
        if self._program is None:
            return False
        if self._load_user_token():
            return True  # kubectl asks no program where a token is given
        status = await self._program.run()
        if status.get("token"):
            self.token = f"Bearer {status['token']}"
        if status.get("clientCertificateData"):
            self.cert_file = self._written(status, "clientCertificateData")
            self.key_file = self._written(status, "clientKeyData")
        if status.get("expirationTimestamp"):
            ends = official.parse_rfc3339(str(status["expirationTimestamp"]))
            left = (ends - datetime.now(UTC)).total_seconds()
            self._valid_seconds = max(left - min(_EXPIRY_MARGIN_SECONDS, left / 10), 0.0)
        return True

    async def _refresh_oidc(self, provider: Any) -> None:
        """The official client does not verify the provider's certificate, and never saves what it got."""
        folder = self._get_base_path(self._user.path)
        await renewed(provider["config"], folder, self._merged)

    def _written(self, status: dict[str, Any], name: str) -> str:
        return str(official.FileOrData(status, None, name, base64_file_content=False).as_file())

    def _impersonation(self) -> CIMultiDict[str]:
        found: CIMultiDict[str] = CIMultiDict()
        user = self._user.value
        for group in user.get("as-groups") or ():
            found.add("Impersonate-Group", str(group))
        if user.get("as-uid"):
            found.add("Impersonate-Uid", str(user["as-uid"]))
        for key, values in (user.get("as-user-extra") or {}).items():
            for value in values:
                found.add(f"Impersonate-Extra-{quote(str(key), safe=_TOKEN_CHARACTERS)}", str(value))
        if user.get("as"):
            found.add("Impersonate-User", str(user["as"]))
        elif found:
            raise ConfigException("as-groups, as-uid and as-user-extra need as: the user they belong to")
        return found
