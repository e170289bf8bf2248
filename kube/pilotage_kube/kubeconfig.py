"""Reading a kubeconfig: the same file, contexts and rights that kubectl uses."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pilotage_kube.connection import Connection, client_tls, in_pod
from pilotage_kube.credentials import Credentials, ExecToken, FixedHeaders, TokenFile
from pilotage_kube.errors import ConfigurationError


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
    """The named context, or the current one, of these files; the first file that sets a thing wins."""
    read = [(path, _read(path)) for path in files if path.exists()]
    if not read:
        raise ConfigurationError(f"no kubeconfig at {', '.join(map(str, files))}")
    wanted = context or next((str(c["current-context"]) for _, c in read if c.get("current-context")), "")
    if not wanted:
        raise ConfigurationError(f"{read[0][0]} has no current-context: name one with --context")
    _, chosen = _named(read, "contexts", "context", wanted)
    cluster_file, cluster = _named(read, "clusters", "cluster", str(chosen.get("cluster", "")))
    user_file, user = _named(read, "users", "user", str(chosen.get("user", "")))
    server = str(cluster.get("server") or "")
    if not server.startswith(("http://", "https://")):
        raise ConfigurationError(f"{cluster_file}: cluster {chosen['cluster']!r} has no server URL")
    return Connection(
        server=server.rstrip("/"),
        namespace=str(chosen.get("namespace") or "default"),
        credentials=_credentials(user, user_file),
        tls=_tls(cluster, cluster_file, user, user_file) if server.startswith("https://") else None,
        tls_server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"cannot read the kubeconfig {path}: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is not a kubeconfig: a mapping with clusters, users and contexts")
    return found


def _named(
    read: list[tuple[Path, Mapping[str, Any]]], section: str, field: str, name: str
) -> tuple[Path, dict[str, Any]]:
    for path, config in read:
        for entry in config.get(section) or []:
            if isinstance(entry, dict) and entry.get("name") == name:
                return path, entry.get(field) or {}
    raise ConfigurationError(f"{read[0][0]} has no entry {name!r} in {section}")


def _credentials(user: dict[str, Any], path: Path) -> Credentials:
    if "auth-provider" in user:
        raise ConfigurationError(f"{path}: auth-provider is no longer supported by Kubernetes: use exec")
    impersonation = _impersonation(user)
    found: Credentials
    if user.get("token"):
        found = FixedHeaders({"Authorization": f"Bearer {user['token']}"})
    elif user.get("tokenFile"):
        found = TokenFile(_beside(path, user["tokenFile"]))
    elif user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        found = FixedHeaders({"Authorization": f"Basic {base64.b64encode(pair).decode()}"})
    elif user.get("exec"):
        told = user["exec"]
        if not told.get("command"):
            raise ConfigurationError(f"{path}: exec credentials without a command")
        environment = {one["name"]: one["value"] for one in told.get("env") or []}
        command = [_command(path, str(told["command"])), *map(str, told.get("args") or [])]
        found = ExecToken(command, environment, str(told.get("apiVersion")))
    else:
        found = FixedHeaders()
    return _Impersonating(found, impersonation) if impersonation else found


def _impersonation(user: dict[str, Any]) -> dict[str, str]:
    headers = {}
    if user.get("as"):
        headers["Impersonate-User"] = str(user["as"])
    if user.get("as-uid"):
        headers["Impersonate-Uid"] = str(user["as-uid"])
    # several groups would need the header several times; acting with other rights than asked for is worse
    if user.get("as-groups") or user.get("as-user-extra"):
        raise ConfigurationError("as-groups and as-user-extra of a kubeconfig are not supported")
    return headers


class _Impersonating:
    """Someone who acts as someone else."""

    def __init__(self, inner: Credentials, extra: Mapping[str, str]) -> None:
        self._inner = inner
        self._extra = extra

    async def headers(self, *, refused: bool = False) -> Mapping[str, str]:
        return {**await self._inner.headers(refused=refused), **self._extra}


def _tls(
    cluster: dict[str, Any], cluster_file: Path, user: dict[str, Any], user_file: Path
) -> ssl.SSLContext:
    data = cluster.get("certificate-authority-data")
    authority = cluster.get("certificate-authority")
    context = client_tls(
        ca_file=_beside(cluster_file, authority) if authority and not data else None,
        ca_text=_decoded(data, cluster_file, "certificate-authority-data").decode() if data else None,
        verify=not cluster.get("insecure-skip-tls-verify"),
    )
    certificate = _pem(user, "client-certificate", user_file)
    key = _pem(user, "client-key", user_file)
    if certificate and key:
        _load_pair(context, certificate, key, user_file)
    return context


def _pem(user: dict[str, Any], field: str, path: Path) -> bytes | None:
    if user.get(f"{field}-data"):
        return _decoded(user[f"{field}-data"], path, f"{field}-data")
    if not user.get(field):
        return None
    try:
        return _beside(path, user[field]).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read {field}: {error}") from error


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes, path: Path) -> None:
    # ssl reads pairs from files only; this one is readable by its owner alone and gone at once
    with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
        pair.write(certificate.rstrip() + b"\n" + key)
        pair.flush()
        try:
            context.load_cert_chain(pair.name)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{path}: client certificate and key do not fit: {error}") from error


def _decoded(text: object, path: Path, field: str) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ConfigurationError(f"{path}: {field} is not base64") from error


def _beside(path: Path, name: object) -> Path:
    """Relative names are meant from the kubeconfig's folder."""
    return path.parent / str(name)


def _command(path: Path, command: str) -> str:
    return str(path.parent / command) if "/" in command else command
