"""What a gateway says of itself before it runs."""

from pathlib import Path

import pytest

from pilotage_api.settings import GatewaySettings, ListenSettings, TlsFiles, TlsSettings
from pilotage_cli.gateway.standalone import Gateway

CERTIFICATE = TlsFiles(cert_file="tls.crt", key_file="tls.key")


@pytest.mark.parametrize(("files", "scheme"), [(None, "http"), (CERTIFICATE, "https")])
async def test_clients_are_told_the_scheme_they_must_use(files, scheme):
    settings = GatewaySettings(
        listen=ListenSettings(gateway="127.0.0.1:8080"), tls=TlsSettings(gateway=files)
    )
    gateway = Gateway(
        Path("manifests"), settings, simulate=False, on_compiled=lambda _: None, on_trouble=lambda _: None
    )
    assert gateway.url == f"{scheme}://127.0.0.1:8080"
