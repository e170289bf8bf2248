"""Credentials outside a cluster: what is taken, and that nothing tells them."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.sources.provider_credentials import (
    CredentialError,
    CredentialFiles,
    checked_credential,
)


@pytest.mark.parametrize("content", [b"sk-1", b"sk-1\n", b"sk-1\r\n"])
def test_one_newline_at_the_end_is_dropped(content):
    assert checked_credential(content, "it") == "sk-1"


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"a\nb", b"sk-1\n\n", b"\nsk-1", b" sk-1", b"sk-1 ", b"\xc3\xa4", b"a\x00b", b"x" * 20_000],
)
def test_what_no_header_can_hold_is_refused(content):
    with pytest.raises(CredentialError):
        checked_credential(content, "it")


@given(st.binary(min_size=12, max_size=64))
def test_a_refusal_never_holds_the_credential(content):
    try:
        checked_credential(content, "the file")
    except CredentialError as error:
        assert content.decode("latin-1") not in str(error)


def test_a_variable_is_in_a_file_of_its_owner_alone_until_the_end():
    files = CredentialFiles({"KEY": "sk-1\n"})
    path = Path(files.of_variable("KEY"))
    assert path.read_text() == "sk-1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert files.of_variable("KEY") == str(path)
    files.close()
    assert not path.exists()


def test_a_variable_that_is_not_there_is_told_by_name():
    with pytest.raises(CredentialError, match="no variable KEY"):
        CredentialFiles({}).of_variable("KEY")


def test_a_file_that_is_another_has_another_name(tmp_path):
    files, key = CredentialFiles({}), tmp_path / "key"
    key.write_text("sk-1")
    first = files.of_file(str(key))
    assert files.of_file(str(key)) == first
    key.write_text("sk-longer")
    second = files.of_file(str(key))
    assert second != first
    assert Path(second).read_text() == "sk-longer"
    files.close()
    assert key.exists()


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path):
    with pytest.raises(CredentialError, match="cannot be read"):
        CredentialFiles({}).of_file(str(tmp_path / "none"))
