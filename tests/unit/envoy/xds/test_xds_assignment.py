"""Endpoints as Envoy reads them."""

from effort import examples
from envoy.config.endpoint.v3 import endpoint_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_extproc.envoy.xds.assignment import AddressBook


def read(serialised: bytes) -> list[tuple[str, int]]:
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(serialised)
    [locality] = assignment.endpoints
    sockets = [endpoint.endpoint.address.socket_address for endpoint in locality.lb_endpoints]
    return [(socket.address, socket.port_value) for socket in sockets]


def test_addresses_of_both_families_are_read_and_repeats_are_one():
    book = AddressBook()
    good, bad = book.accepted(["10.0.0.1:8000", "[fd00::1]:8000", "10.0.0.1:8000"])
    assert (good, bad) == (["10.0.0.1:8000", "[fd00::1]:8000"], [])
    assert read(book.assignment("models", good)) == [("10.0.0.1", 8000), ("fd00::1", 8000)]


def test_what_envoy_would_refuse_is_left_out():
    wrong = ["llm.example:8000", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:http", "", ":80"]
    assert AddressBook().accepted(["10.0.0.2:80", *wrong]) == (["10.0.0.2:80"], wrong)


def test_no_addresses_make_an_empty_assignment():
    assert read(AddressBook().assignment("models", [])) == []


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.ip_addresses(v=4), st.integers(1, 65535)), unique=True, max_size=30))
def test_an_assignment_holds_exactly_what_was_given(endpoints):
    book = AddressBook()
    good, _ = book.accepted([f"{host}:{port}" for host, port in endpoints])
    assert read(book.assignment("models", good)) == [(str(host), port) for host, port in endpoints]


def test_forgotten_addresses_can_come_back():
    book = AddressBook()
    book.accepted(["10.0.0.1:1", "10.0.0.2:2"])
    book.keep_only(frozenset({"10.0.0.2:2"}))
    good, _ = book.accepted(["10.0.0.1:1"])
    assert read(book.assignment("models", good)) == [("10.0.0.1", 1)]
