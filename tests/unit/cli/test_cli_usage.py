"""`pilotage usage`: what was spent, by whom, from the journals."""

import csv
import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import orjson
import pytest
from typer.testing import CliRunner

from pilotage_cli.commands.usage import summed
from pilotage_cli.failure import CommandError
from pilotage_cli.main import application
from pilotage_extproc.sources.journal import framed


def line(number: int, *, state="settled", tenant="acme", key="k1", nano=1_500_000_000, at=1_764_000_000.0):
    return framed(
        orjson.dumps(
            {
                "t": at,
                "s": state,
                "id": f"x-{number}",
                "who": [tenant, "search", key, ""],
                "what": ["default/auto", "auto", "small"],
                "tokens": [100, 40, 0, 20],
                "nano": nano,
                "budgets": [],
            }
        )
    )


@pytest.fixture
def folder(tmp_path):
    lines = [line(1), line(2, state="estimated", nano=500_000_000), line(3, tenant="b", nano=1)]
    lines += [line(4, at=1_864_000_000.0), b"00000000 {}\n"]
    (tmp_path / "usage-20251124-p1.jsonl").write_bytes(b"".join(lines))
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(application(), ["usage", *arguments])


def test_csv_has_a_row_for_each_party_and_exact_dollars(folder):
    result = run(str(folder), "--csv", "--until", "2026-01-01")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["tenant"], row["requests"], row["usd"], row["estimated_usd"]) for row in rows] == [
        ("acme", "2", "2", "0.5"),
        ("b", "1", "0.000000001", "0"),
    ]
    assert rows[0]["cached_input_tokens"] == "80"
    assert "1 damaged" in result.stderr


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@a", "a\x1b[2J"])
def test_names_that_clients_choose_run_nothing_where_they_are_read(tmp_path, name):
    (tmp_path / "usage-20251124-p1.jsonl").write_bytes(line(1, key=name))
    [row] = csv.DictReader(io.StringIO(run(str(tmp_path), "--csv").stdout))
    assert row["key"] == (f"'{name}" if "\x1b" not in name else "a\ufffd[2J")
    assert "\x1b" not in run(str(tmp_path)).stdout


def test_rows_can_be_summed_by_other_names(folder):
    result = run(str(folder), "--csv", "--by", "policy,upstream_model")
    [row] = csv.DictReader(io.StringIO(result.stdout))
    assert (row["policy"], row["upstream_model"], row["requests"]) == ("default/auto", "small", "4")


@pytest.mark.parametrize(
    "arguments", [["--by", "nobody"], ["--since", "yesterday"], ["--by", ","]], ids=["by", "since", "nothing"]
)
def test_what_is_wrong_is_said(folder, arguments):
    assert isinstance(run(str(folder), *arguments).exception, CommandError)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    assert isinstance(run(str(tmp_path / "none")).exception, CommandError)
    assert summed([], ["tenant"]) == []


@pytest.fixture
def gateway():
    """An admin address that has a page with budgets."""
    budget = {"per": "team", "party": "search", "period": "day", "timeZone": "UTC", "mode": "hard"}
    budget |= {"usd": "10", "spent": "1.5", "held": "0.5", "remaining": "8", "resets": "2026-11-30T00:00:00Z"}
    page = orjson.dumps({"shared": False, "tenants": {"acme": {"budgets": [budget], "budgetsLeftOut": 0}}})

    class Admin(BaseHTTPRequestHandler):
        def do_GET(self):
            allowed = self.headers.get("authorization") == "Bearer secret" and self.path == "/budgets"
            self.send_response(200 if allowed else 401)
            self.end_headers()
            self.wfile.write(page if allowed else b'{"error": "a bearer token is required here"}')

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Admin)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_now_shows_what_tenants_have_of_their_budgets(gateway):
    words = ["usage", "--now", "--csv", "--admin", gateway, "--token", "secret"]
    found = CliRunner().invoke(application(), words, catch_exceptions=False)
    [row] = csv.DictReader(io.StringIO(found.stdout))
    assert (row["tenant"], row["party"], row["spent"], row["held"]) == ("acme", "search", "1.5", "0.5")
    assert (row["remaining"], row["resets"]) == ("8", "2026-11-30T00:00:00Z")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--now", "folder"], "leave out the folder"),
        ([], "name the folder of journals"),
        (["--now", "--admin", "127.0.0.1:1"], "no gateway's admin on 127.0.0.1:1"),
    ],
)
def test_usage_says_what_it_needs(words, why):
    with pytest.raises(CommandError, match=why):
        CliRunner().invoke(application(), ["usage", *words], catch_exceptions=False)
