"""Without a token the admin address answers those alone who call it by a name of loopback."""

from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest

from pilotage_extproc.server.admin import AdminServer, AdminView
from pilotage_extproc.server.loopback import names_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9003", "127.0.0.1:9003", "127.1.2.3", "[::1]", "[::1]:9003", ""]
)
def test_names_of_loopback(host: str) -> None:
    assert names_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9003",
        "localhost.evil.example",
        "localhost:evil.example",
        "127.0.0.1.evil.example",
        "[::1].evil.example",
        "[::1",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
    ],
)
def test_names_that_may_be_made_to_lead_there(host: str) -> None:
    assert not names_loopback(host)


async def asked(token_file: str | None, host: str, path: str, **headers: str) -> int:
    view = Mock(spec=AdminView)
    view.status.return_value = view.metrics.return_value = b"{}"
    admin = AdminServer(view, "127.0.0.1:0", token_file)
    await admin.start()
    try:
        url = f"http://127.0.0.1:{admin.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers={"Host": host, **headers}) as answer,
        ):
            return answer.status
    finally:
        await admin.stop()


@pytest.mark.parametrize("path", ["/status", "/metrics"])
async def test_a_page_of_a_rebound_name_is_refused(path: str) -> None:
    assert await asked(None, "evil.example", path) == 403
    assert await asked(None, "localhost:9003", path) == 200


async def test_where_a_token_is_asked_for_any_name_will_do(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    token = str(tmp_path / "token")
    assert await asked(token, "pilotage.monitoring", "/metrics") == 200
    assert await asked(token, "pilotage.monitoring", "/status") == 401
    assert await asked(token, "pilotage.monitoring", "/status", Authorization="Bearer t") == 200
