"""`pilotage keys` with a file: made, listed, revoked, and followed by a gateway."""

import json
import stat

import pytest
from typer.testing import CliRunner

from pilotage_cli.failure import CommandError
from pilotage_cli.main import application
from pilotage_extproc.sources.api_key_file import KeyFileWatch
from pilotage_extproc.state.api_keys import KeyBook


def run(*words):
    return CliRunner().invoke(application(), ["keys", *words], catch_exceptions=False)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


def followed(file):
    book = KeyBook()
    watch = KeyFileWatch(str(file), book.follow)
    watch.look()
    return book, watch


def test_a_key_is_shown_once_and_only_its_hash_is_kept(file):
    made = run("create", "--tenant", "acme", "--team", "search", "--file", str(file), "--expires-days", "3")
    text = made.stdout.strip()
    assert text.startswith("plt-")
    assert len(text) > 40
    assert text not in file.read_text()
    assert text not in made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    book, _ = followed(file)
    found = book.find(text, 0.0)
    assert (found.tenant, found.team) == ("acme", "search")
    assert book.find(text, found.expires_at) is None


def test_keys_are_listed_without_keys_or_hashes(file):
    run("create", "--tenant", "acme", "--file", str(file))
    [one] = json.loads(run("list", "--json", "--file", str(file)).stdout)
    assert one["tenant"] == "acme"
    assert "sha256" not in one
    assert one["id"] in run("list", "--file", str(file)).stdout


def test_a_revoked_key_is_gone_for_the_next_look_of_the_gateway(file):
    one = run("create", "--tenant", "acme", "--file", str(file)).stdout.strip()
    two = run("create", "--tenant", "other", "--file", str(file)).stdout.strip()
    book, watch = followed(file)
    run("revoke", book.find(one, 0.0).id, "--file", str(file))
    watch.look()
    assert book.find(one, 0.0) is None
    assert book.find(two, 0.0).tenant == "other"


def test_a_key_that_is_not_there_cannot_be_revoked(file):
    with pytest.raises(CommandError, match="no key key-1"):
        run("revoke", "key-1", "--file", str(file))


def test_a_file_that_is_damaged_leaves_in_force_what_was_read_last(file):
    text = run("create", "--tenant", "acme", "--file", str(file)).stdout.strip()
    book, watch = followed(file)
    file.write_text("{")
    watch.look()
    assert book.find(text, 0.0) is not None
    assert "no file of keys" in watch.problem
    file.unlink()
    watch.look()
    assert book.find(text, 0.0) is None


@pytest.mark.parametrize(
    "record",
    [
        {"id": "a", "sha256": "00", "tenant": "acme"},
        {"id": "a", "sha256": "0" * 64, "tenant": ""},
        {"id": "a", "sha256": "0" * 64, "tenant": "acme", "expires": "tomorrow"},
        {"id": "a", "sha256": "0" * 64, "tenant": "acme", "secret": "x"},
    ],
)
def test_a_record_that_is_wrong_is_said_by_its_id_and_keeps_the_file_out_of_force(file, record):
    file.write_text(json.dumps({"keys": [record]}))
    book, watch = followed(file)
    assert not book.known
    assert watch.problem
    assert "0" * 64 not in watch.problem


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"sha256": "nothing"}, "64 hex digits"),
        ({"tenant": ""}, "tenant"),
        ({"expires": "tomorrow"}, "expires"),
    ],
)
def test_a_record_that_is_wrong_is_listed_with_what_is_wrong(file, fault, said):
    good = {"id": "good", "sha256": "0" * 64, "tenant": "acme"}
    file.write_text(json.dumps({"keys": [good, {**good, "id": "bad", **fault}]}))
    shown = run("list", "--file", str(file))
    assert shown.exit_code == 0
    assert "not in force" in " ".join(shown.stdout.split())
    bad, other = json.loads(run("list", "--json", "--file", str(file)).stdout)
    assert said in bad["problem"]
    assert "problem" not in other


def test_a_key_that_would_expire_beyond_the_calendar_is_not_made(file):
    made = run("create", "--tenant", "acme", "--file", str(file), "--expires-days", "99999999")
    assert made.exit_code == 2
    assert "36500" in made.stderr
    assert not file.exists()


def test_two_commands_do_not_write_at_once(file):
    file.with_name(".keys.json.new").write_text("")
    with pytest.raises(CommandError, match="another command"):
        run("create", "--tenant", "acme", "--file", str(file))
