"""Renewing an id-token at its provider, over TLS that is verified."""

import asyncio
import logging
import ssl
from typing import Any

import aiohttp
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.kube_config import FileOrData, KubeConfigMerger
from kubernetes.aio.config.openid import OpenIDRequestor

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 30.0


class _Provider(OpenIDRequestor):
    def _get_connector(self) -> aiohttp.TCPConnector:
        # the official client switches verification off, and sends the client's secret nevertheless
        return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._ssl_ca_cert))


async def renewed(config: Any, folder: str, merged: KubeConfigMerger) -> None:
    """Put a new id-token, and the refresh token that comes with it, into the kubeconfig.

    Raises ConfigException. Many providers take a refresh token only once: it is saved, so that kubectl's next
    renewal does not fail.
    """
    authority = FileOrData(config, "idp-certificate-authority", file_base_path=folder).as_file()
    provider = _Provider(
        config["client-id"], config.safe_get("client-secret") or "", config["idp-issuer-url"], authority
    )
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            told = await provider.refresh_token(config["refresh-token"])
        config.value["id-token"] = told["id_token"]
    except (aiohttp.ClientError, TimeoutError, KeyError) as error:
        raise ConfigException(
            f"oidc: {config['idp-issuer-url']} gave no new token: {error or type(error).__name__}"
        ) from error
    config.value["refresh-token"] = told.get("refresh_token") or config["refresh-token"]
    try:
        await asyncio.to_thread(merged.save_changes)
    except OSError as error:
        log.warning("the renewed id-token could not be saved in the kubeconfig: %s", error)
