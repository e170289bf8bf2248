"""A policy's `host` is the authority the client asked for."""

import pytest

from pilotage_api.snapshot import HeaderMatch
from pilotage_extproc.rules.authority import authority_fits
from pilotage_extproc.rules.routing_index import PolicyEntry


@pytest.mark.parametrize(
    ("said", "wanted", "fits"),
    [
        ("models.example", "models.example", True),
        ("Models.Example", "models.example", True),
        ("models.example:8080", "models.example", True),
        ("models.example:8080", "Models.example:8080", True),
        ("models.example", "models.example:8080", False),
        ("models.example:80", "models.example:8080", False),
        ("other.example", "models.example", False),
        ("models.example.evil", "models.example", False),
        ("[fd00::1]:80", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("models.example", None, True),
    ],
)
def test_host_names_have_no_case_and_a_name_alone_fits_any_port(said, wanted, fits):
    assert authority_fits({":authority": said}, wanted) == fits
    assert authority_fits({"host": said}, wanted) == fits


def test_a_request_without_an_authority_fits_none():
    assert not authority_fits({}, None)


def test_a_policy_matches_the_authority_by_host():
    entry = PolicyEntry(None, None, (HeaderMatch(name="host", value="gold.example"),))
    assert entry.matches("/v1/chat/completions", {":authority": "gold.example:8080"})
    assert not entry.matches("/v1/chat/completions", {":authority": "gateway.example", "x": "gold.example"})
