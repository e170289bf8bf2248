"""The official client as it is used here: raw bytes, one identity, nothing taken from the environment."""

import hashlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient as KubernetesClient
from kubernetes.aio.client.configuration import Configuration as KubernetesConfiguration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException
from multidict import CIMultiDict

from pilotage_kube.errors import ConfigurationError

_MAX_CONNECTIONS = 32
_MAX_MESSAGE_BYTES = 8 << 20


class Configuration(KubernetesConfiguration):
    """For a loader of the official client to fill."""

    def __init__(self) -> None:
        super().__init__(connection_pool_maxsize=_MAX_CONNECTIONS)
        # kubeadm and kind make authorities that Python 3.13 finds not strict enough; no other client does
        self.disable_strict_ssl_verification = True


class Transport(KubernetesClient):
    """Connections to one API server. Raises ConfigurationError where its certificates cannot be used."""

    def __init__(self, configuration: Configuration) -> None:
        self.fingerprint = _fingerprint(configuration)
        """Equal for transports whose connections are interchangeable."""
        self._users = 0
        self._retired = False
        try:
            if configuration.ssl_ca_cert:
                ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"cannot use the certificate authority (certificate-authority-data or "
                f"{configuration.ssl_ca_cert}): {error}"
            ) from error
        try:
            super().__init__(configuration)
            self.rest_client = _Rest(configuration)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"client certificate and key do not fit: {error}") from error

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        bounds: aiohttp.ClientTimeout,
        body: Mapping[str, Any] | None = None,
    ) -> aiohttp.ClientResponse:
        """The answer, whose body has not been read, for `release` in the end. Raises what aiohttp raises."""
        self._users += 1
        try:
            found = await self.call_api(
                method, url, header_params=headers, body=body, _request_timeout=bounds, _preload_content=False
            )
        except BaseException:
            await self._done()
            raise
        response: aiohttp.ClientResponse = found.response
        return response

    async def release(self, response: aiohttp.ClientResponse) -> None:
        """Give the connection back, or close it where the answer has not been read to its end."""
        response.release()
        await self._done()

    async def websocket(
        self, url: str, headers: Mapping[str, str], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """An open WebSocket, for `hang_up` in the end. Raises what aiohttp raises.

        `kubernetes.aio.stream` knows neither `tls-server-name` nor a proxy.
        """
        if self.rest_client.pool_manager is None:
            self.rest_client.pool_manager = self.session()
        session: aiohttp.ClientSession = self.rest_client.pool_manager
        self._users += 1
        try:
            return await session.ws_connect(
                url,
                protocols=(protocol,),
                headers=headers,
                server_hostname=self.configuration.tls_server_name,
                proxy=self.configuration.proxy,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                max_msg_size=_MAX_MESSAGE_BYTES,
            )
        except BaseException:
            await self._done()
            raise

    async def hang_up(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Close a WebSocket."""
        await socket.close()
        await self._done()

    def session(self, headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
        """A session of its own for the running event loop, for a framework that sends its requests itself."""
        found: aiohttp.ClientSession = self.rest_client.new_session(headers)
        return found

    async def retire(self) -> None:
        """Close once the last answer has been read."""
        self._retired = True
        if not self._users:
            await self.close()

    async def _done(self) -> None:
        self._users -= 1
        if self._retired and not self._users:
            await self.close()


@dataclass(slots=True, frozen=True, eq=False)
class Access:
    """What was loaded at one moment: where the server is, and who asks."""

    transport: Transport
    configuration: Configuration = field(repr=False)
    impersonation: CIMultiDict[str] = field(default_factory=CIMultiDict, repr=False)
    valid_seconds: float | None = None
    """How long until it should be loaded again; None where a refusal says so."""

    async def headers(self) -> CIMultiDict[str]:
        """Who asks, for the next request. Raises ConfigurationError."""
        try:
            token = (await self.configuration.auth_settings()).get("BearerToken")
        except (ConfigException, OSError) as error:
            raise ConfigurationError(f"cannot renew the token: {error}") from error
        found = self.impersonation.copy()
        if token is not None and token["value"]:
            found["Authorization"] = token["value"].strip()
        return found


class _Rest(RESTClientObject):
    def new_session(self, headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
        """One that takes no proxy and no password from the environment: each request would ask a thread."""
        connector = aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=_kept_alive)
        return aiohttp.ClientSession(
            connector=connector, headers=headers, proxy=self.proxy, cookie_jar=aiohttp.DummyCookieJar()
        )

    def _create_pool_manager(self) -> aiohttp.ClientSession:
        return self.new_session()


def _fingerprint(configuration: Configuration) -> str:
    """A digest of all that a connection depends on; tokens travel with requests and do not count."""
    found = hashlib.sha256()
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    content = [Path(one).read_bytes() if one and Path(one).exists() else None for one in files]
    rest = (configuration.host, configuration.verify_ssl, configuration.tls_server_name, configuration.proxy)
    found.update(repr((content, rest)).encode())
    return found.hexdigest()


def _kept_alive(address: Any) -> socket.socket:
    """A socket that notices within half a minute that the other machine is gone without a word."""
    made = socket.socket(address[0], address[1], address[2])
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    return made
