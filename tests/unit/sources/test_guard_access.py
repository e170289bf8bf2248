"""What guards are shown and known by: credentials, authorities of their own, and what is counted of calls."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.guard_stub import GuardStub

from pilotage_api.content_settings import ContentSettings
from pilotage_api.guard_hosts import GuardHost
from pilotage_api.guards_snapshot import RemoteGuardSnapshot
from pilotage_extproc.domain.verdict import NoVerdictError
from pilotage_extproc.sources import remote_guards
from pilotage_extproc.sources.guard_access import AGE_SECONDS, GuardAccess
from pilotage_extproc.sources.json_service import FAILURES_TO_OPEN
from pilotage_extproc.sources.provider_credentials import CredentialError
from pilotage_extproc.sources.remote_guards import RemoteGuards

HOST = "127.0.0.1"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """One guard, asked as a picker asks it."""

    def __init__(self, stub: GuardStub, clock: Clock, timeout_seconds: float = 5.0, **entry: object) -> None:
        known = ContentSettings.model_validate({"guards": [{"host": HOST, **entry}]})
        self.guards = RemoteGuards(known, clock, in_cluster=False)
        self.snapshot = RemoteGuardSnapshot(
            url=stub.url, timeout_seconds=timeout_seconds, max_bytes=4096, max_concurrent=1
        )

    async def __call__(self) -> str:
        return (await self.guards.ask(self.snapshot, b"{}")).action

    def counted(self) -> Mapping[str, float]:
        calls = self.guards.telemetry.calls
        named = ("allow", "flag", "block", "timeout", "failed", "abandoned", "left_alone", "full")
        return {result: count for result in named if (count := calls.value(HOST, result))}


async def test_of_many_guards_those_that_are_being_asked_are_not_ended(
    stub: GuardStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_guards, "_MOST_GUARDS", 2)
    ask = Asked(stub, Clock())
    others = [ask.snapshot.model_copy(update={"max_bytes": 4097 + number}) for number in range(3)]
    stub.hold.clear()
    first = asyncio.create_task(ask())
    second = asyncio.create_task(ask.guards.ask(others[0], b"{}"))
    while len(stub.headers) < 2:
        await asyncio.sleep(0.01)
    with pytest.raises(NoVerdictError, match="too many"):
        await ask.guards.ask(others[1], b"{}")
    stub.hold.set()
    assert (await first, (await second).action) == ("allow", "allow")
    for one in others:
        assert (await ask.guards.ask(one, b"{}")).action == "allow"
    await ask.guards.close()


@pytest.fixture
async def stub() -> AsyncIterator[GuardStub]:
    made = GuardStub()
    await made.start()
    yield made
    await made.stop()


async def test_a_credential_of_a_file_is_shown_and_read_again(stub: GuardStub, tmp_path: Path) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("first\n")
    ask = Asked(stub, clock, auth={"file": str(file)})
    await ask()
    file.write_text("second")
    await ask()
    clock.now += AGE_SECONDS
    await ask()
    shown = [one["Authorization"] for one in stub.headers]
    assert shown == ["Bearer first", "Bearer first", "Bearer second"]
    await ask.guards.close()


async def test_a_credential_may_stand_in_a_variable_and_in_another_header(monkeypatch) -> None:
    auth = {"env": "GUARD_KEY", "header": "x-api-key", "prefix": ""}
    host = GuardHost.model_validate({"host": HOST, "auth": auth})
    assert await GuardAccess(host, Clock(), {"GUARD_KEY": "k"}).headers() == {"x-api-key": "k"}
    with pytest.raises(CredentialError, match="no variable GUARD_KEY"):
        await GuardAccess(host, Clock(), {}).headers()
    monkeypatch.setenv("GUARD_KEY", "k")
    assert await GuardAccess(host, Clock()).headers() == {"x-api-key": os.environ["GUARD_KEY"]}


async def test_without_its_credential_a_guard_is_not_asked_and_nothing_of_it_is_told(
    stub: GuardStub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text("two\nlines")
    ask = Asked(stub, Clock(), auth={"file": str(file)})
    for _ in range(3):
        with pytest.raises(NoVerdictError, match="cannot be read"):
            await ask()
    assert stub.asked == []
    assert ask.counted() == {"failed": 3}
    assert len(caplog.records) == 1
    assert "two" not in caplog.text


async def test_a_guard_of_other_authorities_is_asked_once_they_are_given(tmp_path: Path) -> None:
    authority, stub = Authority(), GuardStub()
    certificate, key = authority.issue("guard", "guards", timedelta(hours=1))
    (tmp_path / "tls.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    await stub.start(context)
    clock, given = Clock(), tmp_path / "ca.crt"
    unknown, known = Asked(stub, clock), Asked(stub, clock, caFile=str(given))
    with pytest.raises(NoVerdictError):
        await unknown()
    with pytest.raises(NoVerdictError, match="cannot be read"):
        await known()
    given.write_text(Authority().certificate)
    clock.now += AGE_SECONDS
    with pytest.raises(NoVerdictError, match="as it should"):
        await known()
    given.write_text(authority.certificate)
    clock.now += AGE_SECONDS
    assert await known() == "allow"
    given.write_text(Authority().certificate)
    clock.now += AGE_SECONDS
    with pytest.raises(NoVerdictError, match="as it should"):
        await known()
    await unknown.guards.close()
    await known.guards.close()
    await stub.stop()


def test_a_credential_goes_over_https_or_to_ones_own_machine_alone(stub: GuardStub) -> None:
    settings = ContentSettings.model_validate(
        {"guards": [{"host": "guard.example", "auth": {"env": "K"}}, {"host": HOST, "auth": {"env": "K"}}]}
    )
    guards = RemoteGuards(settings, Clock(), in_cluster=False)

    def problem(url: str) -> str:
        guard = RemoteGuardSnapshot(url=url, timeout_seconds=1, max_bytes=1024, max_concurrent=1)
        return guards.problem(guard, {})

    assert "https only" in problem("http://guard.example/v1")
    assert problem("https://guard.example/v1") == ""
    assert problem(stub.url) == ""


@pytest.mark.parametrize(
    "auth", [{}, {"file": "/a", "env": "B"}, {"env": "A", "header": "host"}, {"env": "A", "prefix": "a\nb"}]
)
def test_a_credential_has_one_source_and_a_header_that_may_be_set(auth: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="auth"):
        GuardHost.model_validate({"host": HOST, "auth": auth})


def test_the_longest_name_that_stands_for_a_host_says_what_it_is_shown() -> None:
    entries = [{"host": "*.example", "auth": {"env": "A"}}, {"host": "guard.example"}]
    guards = RemoteGuards(ContentSettings.model_validate({"guards": entries}), Clock(), in_cluster=False)
    asked = RemoteGuardSnapshot(
        url="http://guard.example/v1", timeout_seconds=1, max_bytes=1024, max_concurrent=1
    )
    assert guards.problem(asked, {}) == ""


async def test_calls_are_counted_by_how_they_ended(stub: GuardStub) -> None:
    ask = Asked(stub, Clock(), timeout_seconds=0.05)
    for action in ("allow", "flag", "block"):
        stub.answer = {"action": action}
        assert await ask() == action
    stub.hold.clear()
    with pytest.raises(NoVerdictError):
        await ask()
    stub.hold.set()
    stub.status = 500
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(NoVerdictError):
            await ask()
    counted = {"allow": 1, "flag": 1, "block": 1, "timeout": 1, "failed": FAILURES_TO_OPEN - 1}
    assert ask.counted() == {**counted, "left_alone": 1}
    assert ask.guards.telemetry.seconds.count() == 3 + FAILURES_TO_OPEN
    await ask.guards.close()
