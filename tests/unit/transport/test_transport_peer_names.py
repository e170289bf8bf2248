"""Who a caller has proven to be, by its certificate."""

import ssl
from datetime import timedelta

import pytest
from certificates import Authority

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.server.tls import port_certificate
from pilotage_extproc.transport.connection import _peer_names


@pytest.fixture
def authority():
    return Authority()


def files(folder, authority: Authority, name: str) -> dict[str, str]:
    certificate, key = authority.issue(name, "tests", timedelta(days=1), hosts=[name])
    (folder / f"{name}.pem").write_text(certificate)
    (folder / f"{name}.key").write_text(key)
    return {"certFile": str(folder / f"{name}.pem"), "keyFile": str(folder / f"{name}.key")}


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """The server's side of a finished handshake. Raises SSLError."""
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = client.wrap_bio(one, other, server_hostname="pilotage-extproc")
    here = server.wrap_bio(other, one, server_side=True)
    for _ in range(4):
        for side in (there, here):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    here.do_handshake()
    return here


def client_of(authority: Authority, shown: dict[str, str] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.certificate)
    if shown is not None:
        context.load_cert_chain(shown["certFile"], shown["keyFile"])
    return context


def server_of(folder, authority: Authority) -> ssl.SSLContext:
    (folder / "ca.pem").write_text(authority.certificate)
    envoy = {"caFile": str(folder / "ca.pem"), **files(folder, authority, "pilotage-envoy")}
    tls = {"extproc": files(folder, authority, "pilotage-extproc"), "envoy": envoy}
    certificate = port_certificate(GatewaySettings.model_validate({"tls": tls}).tls)
    assert certificate is not None
    return certificate.context()


def test_a_caller_is_known_by_the_names_of_its_verified_certificate(tmp_path, authority):
    server = server_of(tmp_path, authority)
    shown = files(tmp_path, authority, "pilotage-envoy")
    assert _peer_names(handshake(server, client_of(authority, shown))) == {"pilotage-envoy"}


def test_a_caller_without_a_certificate_is_let_in_and_is_nobody(tmp_path, authority):
    assert _peer_names(handshake(server_of(tmp_path, authority), client_of(authority, None))) == frozenset()


def test_a_certificate_of_another_authority_is_refused(tmp_path, authority):
    server = server_of(tmp_path, authority)
    other = tmp_path / "other"
    other.mkdir()
    shown = files(other, Authority(), "pilotage-envoy")
    with pytest.raises(ssl.SSLError):
        handshake(server, client_of(authority, shown))


def test_a_port_without_tls_knows_nobody():
    assert _peer_names(None) == frozenset()
