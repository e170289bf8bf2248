"""What a gateway says of itself before it runs."""

import asyncio
from pathlib import Path

import pytest

from pilotage_api.compile import Compiled
from pilotage_api.settings import GatewaySettings, ListenSettings, TlsFiles, TlsSettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_cli.gateway import standalone
from pilotage_cli.gateway.standalone import Gateway

POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {{name: a}}
spec:
  engine: openai
  endpoints: [{{address: {address}, port: 80}}]
  models: [{{name: m}}]
"""
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


async def test_manifests_that_cannot_be_brought_into_force_are_told_tried_again_and_end_nothing(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(standalone, "POLL_SECONDS", 0.01)
    told: list[str] = []
    compiled: list[Compiled] = []
    listen = ListenSettings(extproc="127.0.0.1:0", admin="127.0.0.1:0")
    settings = GatewaySettings(listen=listen)
    (tmp_path / "pool.yaml").write_text(POOL.format(address="10.0.0.1"))
    picker = standalone.Picker(tmp_path, settings, on_compiled=compiled.append, on_trouble=told.append)
    await picker.start()
    membership = picker.server.runtime.discovery.membership
    try:
        follow, tries = picker.server.runtime.reconciler.follow, 0

        async def fails_twice(snapshot: RoutingSnapshot) -> None:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise UnicodeError("label too long")
            await follow(snapshot)

        monkeypatch.setattr(picker.server.runtime.reconciler, "follow", fails_twice)
        (tmp_path / "pool.yaml").write_text(POOL.format(address="10.0.0.2"))
        async with asyncio.timeout(10):
            while len(compiled) < 2:
                assert membership() in ({"default/a": ("10.0.0.1:80",)}, {"default/a": ("10.0.0.2:80",)})
                await asyncio.sleep(0.01)
        assert membership() == {"default/a": ("10.0.0.2:80",)}
        assert told == ["the manifests are not in force: UnicodeError: label too long"]
    finally:
        await picker.stop()
