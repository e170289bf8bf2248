"""One spelling of each address, wherever it comes from."""

import socket

import pytest
from api_manifests import brief, compiled, only, pool
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.address import canonical_host, canonical_place
from pilotage_api.settings import GatewaySettings

LOOPBACK = ["::1", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "0::1", "::0:0001"]


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        *((one, "::1") for one in LOOPBACK),
        ("FD00::00AB", "fd00::ab"),
        ("fd00:0:0:1:0:0:0:1", "fd00:0:0:1::1"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("::FFFF:0a00:0007", "10.0.0.7"),
        ("::1.2.3.4", "::1.2.3.4"),
        ("10.0.0.7", "10.0.0.7"),
        ("010.0.0.7", "010.0.0.7"),
        ("Llama-0.Models.svc", "llama-0.models.svc"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_a_host_has_one_spelling(spelled, canonical):
    assert canonical_host(spelled) == canonical


@given(st.binary(min_size=16, max_size=16) | st.integers(0, 1 << 34).map(lambda low: low.to_bytes(16, "big")))
def test_it_is_the_one_that_envoy_uses(packed):
    exploded = ":".join(packed[at : at + 2].hex().upper() for at in range(0, 16, 2))
    written = socket.inet_ntop(socket.AF_INET6, packed)
    mapped = packed.startswith(bytes(10) + b"\xff\xff")
    assert canonical_host(exploded) == (written.removeprefix("::ffff:") if mapped else written)
    assert canonical_host(written) == canonical_host(exploded)


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
        ("[::ffff:10.0.0.7]:80", "10.0.0.7:80"),
        ("Models:80", "models:80"),
        ("10.0.0.7", "10.0.0.7"),
        ("0:0::1", "::1"),
        ("[0:0::1]", "[::1]"),
        ("", ""),
        (":", ":"),
        ("]", "]"),
    ],
)
def test_a_place_has_one_spelling(spelled, canonical):
    assert canonical_place(spelled) == canonical


@given(st.text(alphabet="[]:.0123456789abcdefFX-", max_size=40))
def test_any_text_is_spelled_once_and_for_all(text):
    assert canonical_place(canonical_place(text)) == canonical_place(text)


def test_one_server_spelled_in_several_ways_is_a_duplicate_and_one_endpoint():
    endpoints = [{"address": one, "port": 80} for one in (*LOOPBACK, "::ffff:10.0.0.7", "10.0.0.7")]
    result = compiled(pool("p", ["m"], endpoints=endpoints))
    assert [path for _, code, path in brief(result.findings) if code == "duplicate-endpoint"] == [
        f"spec.endpoints[{index}]" for index in (1, 2, 3, 4, 6)
    ]
    assert [one.address for one in only(result.snapshot.pools).endpoints] == ["::1", "10.0.0.7"]
    assert "[::1]:80 stands twice, here as 0:0:0:0:0:0:0:1" in result.findings[0].message


def test_a_peer_named_twice_is_one():
    named = ("[::1]:9002", "[0:0::1]:9002", "Picker-1:9002", "picker-1:9002")
    assert GatewaySettings(peers=named).peers == ("[::1]:9002", "picker-1:9002")
