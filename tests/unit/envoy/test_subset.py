"""The subset that a gateway allows, in every form that gateways send."""

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_extproc.domain.subset import allows, any_port_of
from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.ext_proc.messages import further_inputs, subset_hint

KEY = contract.SUBSET_KEY


def hint(value: object) -> tuple[str, ...] | None:
    message = ext_proc_pb2.ProcessingRequest()
    message.metadata_context.filter_metadata[contract.SUBSET_NAMESPACE].update({KEY: value})
    return subset_hint(message)


@pytest.mark.parametrize(
    "value",
    [
        ["10.0.0.1:8000", "10.0.0.2:8000"],
        "10.0.0.1:8000,10.0.0.2:8000",
        " 10.0.0.1:8000 , 10.0.0.2:8000 ,",
        ["10.0.0.1:8000, 10.0.0.2:8000"],
        ["10.0.0.1:8000", "", ",10.0.0.2:8000"],
    ],
)
def test_lists_strings_and_mixtures_say_the_same(value: object) -> None:
    assert hint(value) == ("10.0.0.1:8000", "10.0.0.2:8000")


@pytest.mark.parametrize("value", [[], "", [""], " , ", [7], None])
def test_a_hint_that_names_nothing_allows_nothing(value: object) -> None:
    assert hint(value) == ()


def test_without_a_hint_all_is_allowed() -> None:
    assert subset_hint(ext_proc_pb2.ProcessingRequest()) is None
    assert allows(None, "10.0.0.1:8000")


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("10.0.0.1:8000", None),
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]:8000", None),
        ("[fd00::1]", "fd00::1"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_an_address_without_a_port_is_any_port_of_it(entry: str, host: str | None) -> None:
    assert any_port_of(entry) == host


def test_ports_and_hosts_are_matched_as_written() -> None:
    assert allows(("10.0.0.1",), "10.0.0.1:8000")
    assert allows(("fd00::1",), "[fd00::1]:8000")
    assert allows(("10.0.0.2", "10.0.0.1:8000"), "10.0.0.1:8000")
    assert not allows(("10.0.0.1:8001", "10.0.0.11"), "10.0.0.1:8000")
    assert not allows((), "10.0.0.1:8000")


def test_what_only_we_may_set_is_stripped_by_its_beginning() -> None:
    headers = dict.fromkeys(
        ("x-pilotage-role", "x-gateway-destination-endpoint-x", "x-other", contract.DESTINATION, KEY), "1"
    )
    assert further_inputs(headers) == ["x-pilotage-role", "x-gateway-destination-endpoint-x"]
