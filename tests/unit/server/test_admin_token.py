"""The admin address's token may be renewed while the process runs."""

import pytest

from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.server.addresses import AddressError
from pilotage_extproc.server.admin_token import AdminToken


def test_a_renewed_token_is_accepted_and_the_old_one_no_longer(tmp_path):
    file, clock = tmp_path / "token", ManualClock()
    file.write_text("first\n")
    token = AdminToken(str(file), clock)
    assert token.accepts("first")
    assert not token.accepts("")
    file.write_text("second\n")
    clock.advance(2)
    assert not token.accepts("first")
    assert token.accepts("second")
    assert not token.accepts("\udcff"), "a header that is not UTF-8"


def test_callers_without_it_make_no_reading_a_call(tmp_path):
    file, clock = tmp_path / "token", ManualClock()
    file.write_text("first")
    token = AdminToken(str(file), clock)
    file.write_text("second")
    assert not token.accepts("second"), "the file was read a moment ago"
    assert token.accepts("first")
    clock.advance(2)
    assert token.accepts("second")


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text("  ")])
def test_a_file_that_is_damaged_leaves_the_last_token_in_force(tmp_path, damage):
    file, clock = tmp_path / "token", ManualClock()
    file.write_text("first")
    token = AdminToken(str(file), clock)
    damage(file)
    clock.advance(2)
    assert not token.accepts("")
    assert not token.accepts("x")
    assert token.accepts("first")


def test_there_must_be_one_to_begin_with(tmp_path):
    with pytest.raises(AddressError, match="adminTokenFile: cannot read"):
        AdminToken(str(tmp_path / "none"), ManualClock())
