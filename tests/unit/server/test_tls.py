"""TLS of the gRPC port: self-signed, or files that are read again when they change."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pilotage_api.settings import EnvoyTls, TlsFiles, Transport
from pilotage_extproc.server.grpc_port import GrpcPort
from pilotage_extproc.server.tls import CertificateFiles, PortCertificate, SelfSigned, TlsError, self_signed


def write_pair(folder: Path, name: str) -> tuple[TlsFiles, bytes]:
    key, certificate = self_signed(name)
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(certificate)
    return TlsFiles(cert_file=str(folder / "tls.crt"), key_file=str(folder / "tls.key")), certificate


async def check(port: int, certificate: bytes, name: str) -> int:
    credentials = grpc.ssl_channel_credentials(root_certificates=certificate)
    options = [("grpc.ssl_target_name_override", name)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=""), timeout=5
        )
        return answer.status


@pytest.fixture(params=list(Transport))
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param


async def serve(certificate: PortCertificate, transport: Transport) -> tuple[GrpcPort, int]:
    server = GrpcPort(certificate, transport)
    server.set_serving(serving=True)
    return server, await server.start("127.0.0.1", 0)


async def test_a_renewed_certificate_is_served_without_a_restart(
    tmp_path: Path, transport: Transport
) -> None:
    files, first = write_pair(tmp_path, "one.test")
    server, port = await serve(CertificateFiles(files), transport)
    try:
        assert await check(port, first, "one.test") == 1
        _, second = write_pair(tmp_path, "two.test")
        assert await check(port, second, "two.test") == 1
    finally:
        await server.stop(None)


async def test_a_broken_renewal_keeps_the_last_certificate(tmp_path: Path, transport: Transport) -> None:
    files, first = write_pair(tmp_path, "one.test")
    server, port = await serve(CertificateFiles(files), transport)
    try:
        (tmp_path / "tls.crt").write_text("not a certificate")
        assert await check(port, first, "one.test") == 1
    finally:
        await server.stop(None)


def test_missing_files_are_named(tmp_path: Path) -> None:
    missing = TlsFiles(cert_file=str(tmp_path / "no.crt"), key_file=str(tmp_path / "no.key"))
    with pytest.raises(TlsError, match=r"cannot read .*no\.key"):
        CertificateFiles(missing).credentials()


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    files, _ = write_pair(tmp_path, "one.test")
    key, _ = self_signed("other.test")
    (tmp_path / "tls.key").write_bytes(key)
    with pytest.raises(TlsError, match="is not the key of"):
        CertificateFiles(files).credentials()


async def test_what_is_announced_is_what_is_shown(tmp_path: Path, transport: Transport) -> None:
    files, _ = write_pair(tmp_path, "one.test")
    certificate = CertificateFiles(files)
    server, port = await serve(certificate, transport)
    try:
        assert await check(port, certificate.leaf().encode(), "one.test") == 1
        write_pair(tmp_path, "two.test")
        assert await check(port, certificate.leaf().encode(), "two.test") == 1
        (tmp_path / "tls.key").write_text("not a key")
        assert await check(port, certificate.leaf().encode(), "two.test") == 1
    finally:
        await server.stop(None)


async def test_a_second_port_serves_with_the_last_pair(tmp_path: Path, transport: Transport) -> None:
    files, first = write_pair(tmp_path, "one.test")
    certificate = CertificateFiles(files)
    certificate.credentials()
    (tmp_path / "tls.crt").unlink()
    server, port = await serve(certificate, transport)
    try:
        assert await check(port, first, "one.test") == 1
    finally:
        await server.stop(None)


def test_only_the_servers_own_certificate_of_a_chain_is_announced(tmp_path: Path) -> None:
    files, leaf = write_pair(tmp_path, "one.test")
    _, issuer = self_signed("issuer.test")
    (tmp_path / "tls.crt").write_bytes(leaf + issuer)
    assert CertificateFiles(files).leaf() == leaf.decode()


def test_a_broken_renewal_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files, leaf = write_pair(tmp_path, "one.test")
    certificate = CertificateFiles(files)
    certificate.leaf()
    (tmp_path / "tls.crt").write_text("not a certificate")
    assert [certificate.leaf() for _ in range(5)] == [leaf.decode()] * 5
    assert [one.message for one in caplog.records] == ["kept the last certificate"]


async def test_ports_of_one_process_share_its_self_signed_certificate(transport: Transport) -> None:
    certificate = SelfSigned("one.test")
    for _ in range(2):
        server, port = await serve(certificate, transport)
        assert await check(port, certificate.leaf().encode(), "one.test") == 1
        await server.stop(None)


def test_a_certificate_for_servers_only_is_refused_where_pickers_show_it_to_each_other(
    tmp_path: Path,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "picker")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "tls.key").write_bytes(private)
    (tmp_path / "tls.crt").write_bytes(made.public_bytes(pem))
    files = {"cert_file": str(tmp_path / "tls.crt"), "key_file": str(tmp_path / "tls.key")}
    mutual = EnvoyTls(ca_file=files["cert_file"], **files)
    with pytest.raises(TlsError, match="client authentication"):
        CertificateFiles(TlsFiles(**files), mutual).leaf()
    assert CertificateFiles(TlsFiles(**files)).leaf()
