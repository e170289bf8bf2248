"""A gateway on one machine whose Envoy and picker verify each other."""

import tempfile
from datetime import timedelta
from pathlib import Path

from certificates import Authority


def certificate(folder: Path, authority: Authority, name: str) -> dict[str, str]:
    made, key = authority.issue(name, "tests", timedelta(days=1), hosts=[name])
    (folder / f"{name}.pem").write_text(made)
    (folder / f"{name}.key").write_text(key)
    return {"certFile": str(folder / f"{name}.pem"), "keyFile": str(folder / f"{name}.key")}


async def test_a_gateway_with_mutual_tls_answers_and_leaves_no_file_behind(
    start_gateway, session, tmp_path, monkeypatch
):
    written = tmp_path / "tmp"
    written.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(written))
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.certificate)
    envoy = {"caFile": str(tmp_path / "ca.pem"), **certificate(tmp_path, authority, "pilotage-envoy")}
    tls = {"extproc": certificate(tmp_path, authority, "pilotage-extproc"), "envoy": envoy}
    rig = await start_gateway(settings={"tls": tls})
    body = {"model": "small", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    async with session.post(f"{rig.url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
    assert [one.name for one in written.glob("pilotage-identity-*/*")]
    await rig.gateway.stop()
    assert list(written.glob("pilotage-identity-*")) == []
