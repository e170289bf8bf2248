"""Id-tokens of a kubeconfig's OIDC provider, accepted by a real API server and renewed over verified TLS."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from certificates import Authority
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from test_kube_identity import who

from pilotage_kube.client import ApiClient
from pilotage_kube.connection import from_kubeconfig
from pilotage_kube.errors import ConfigurationError, Unauthorized


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Signs id-tokens; takes each refresh token once."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.refresh_token = "first"
        self.url = ""

    def token(self, *, seconds: float) -> str:
        """One that ends so many seconds from now."""
        header = {"alg": "ES256", "kid": "one", "typ": "JWT"}
        claims = {"iss": self.url, "aud": "pilotage", "sub": "jane", "exp": int(time.time() + seconds)}
        signed = ".".join(text(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{text(r.to_bytes(32) + s.to_bytes(32))}"

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", self._told)
        application.router.add_get("/keys", self._keys)
        application.router.add_post("/token", self._renew)
        return application

    async def _told(self, _: web.Request) -> web.Response:
        urls = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "token_endpoint": f"{self.url}/token"}
        return web.json_response({**urls, "id_token_signing_alg_values_supported": ["ES256"]})

    async def _keys(self, _: web.Request) -> web.Response:
        public = self._key.public_key().public_numbers()
        point = {"x": text(public.x.to_bytes(32)), "y": text(public.y.to_bytes(32))}
        return web.json_response(
            {"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256", **point}]}
        )

    async def _renew(self, request: web.Request) -> web.Response:
        if (await request.post())["refresh_token"] != self.refresh_token:
            return web.Response(status=400)
        self.refresh_token = "second"
        return web.json_response({"id_token": self.token(seconds=3600), "refresh_token": self.refresh_token})


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def provider(authority: Authority, tmp_path: Path) -> AsyncIterator[Provider]:
    found = Provider()
    pair = authority.issue("provider", "providers", timedelta(hours=1))
    (tmp_path / "provider.pem").write_text("".join(pair))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "provider.pem")
    runner = web.AppRunner(found.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    found.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def test_an_id_token_is_renewed_when_it_ends_and_saved(
    provider, authority, start_control_plane, tmp_path
):
    (tmp_path / "authority.crt").write_text(authority.certificate)
    plane = await asyncio.to_thread(
        start_control_plane,
        f"--oidc-issuer-url={provider.url}",
        "--oidc-client-id=pilotage",
        f"--oidc-ca-file={tmp_path / 'authority.crt'}",
        "--oidc-signing-algs=ES256",
        "--oidc-username-prefix=-",
    )
    path = tmp_path / "config"

    def write(id_token: str, **more: str) -> None:
        told = {"client-id": "pilotage", "idp-issuer-url": provider.url, "id-token": id_token, **more}
        plane.write_kubeconfig(path, {"auth-provider": {"name": "oidc", "config": told}})

    write(provider.token(seconds=3600))
    async with ApiClient(from_kubeconfig([path])) as client, asyncio.timeout(30):
        while True:
            with suppress(Unauthorized):  # until the API server has fetched the provider's keys
                assert (await who(client))["username"] == "jane"
                break
            await asyncio.sleep(0.1)

    write(provider.token(seconds=-60))
    async with ApiClient(from_kubeconfig([path])) as client:
        with pytest.raises(ConfigurationError, match="refresh-token"):
            await who(client)

    write(provider.token(seconds=-60), **{"refresh-token": "first"})
    async with ApiClient(from_kubeconfig([path])) as client:
        with pytest.raises(ConfigurationError, match=r"(?i)certificate"):
            await who(client)
    assert provider.refresh_token == "first"

    trusted = {"idp-certificate-authority": "authority.crt"}
    write(provider.token(seconds=-60), **{"refresh-token": "first"}, **trusted)
    async with ApiClient(from_kubeconfig([path])) as client:
        assert (await who(client))["username"] == "jane"
    assert "second" in path.read_text()
    async with ApiClient(from_kubeconfig([path])) as client:
        assert (await who(client))["username"] == "jane"
