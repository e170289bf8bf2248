"""No header by which Envoy and the picker speak to each other is a client's or a server's to set."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from envoy_rig import Rig, fixed, pick
from provider_stub import raw
from scripted_server import Answer
from test_envoy_fail_open import OPEN

from pilotage_api.calls import STEERING_HEADERS
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.envoy import contract

BODY = b'{"id": "1", "object": "chat.completion", "choices": []}'
JSON = "application/json"
FORGED = "31337"
PASSED_ON = {contract.REQUEST_ID, *contract.LIMIT_RESPONSE_HEADERS}
"""For clients; of a request nobody here reads them."""
UNREAD_OF_ANSWERS = {
    *PASSED_ON,
    *contract.PICKER_INPUTS,
    *STEERING_HEADERS,
    contract.DESTINATION,
    contract.DESTINATION_SERVED,
    contract.SUBSET_KEY,
}
"""Said in an answer these mean nothing to anybody here."""


def headers_of_the_contract() -> Iterator[str]:
    """Every name in `envoy/contract.py` that is one of a header."""
    for value in vars(contract).values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, str) and one.startswith("x-") and one != contract.OWN_PREFIX:
                yield one


NAMES = sorted({*headers_of_the_contract(), contract.OWN_PREFIX + "anything", "x-envoy-anything"})


def forged(status: int, body: bytes = BODY, value: str = FORGED) -> Answer:
    """An answer that sets all of them."""
    return raw(status, body, JSON, **{name.replace("-", "_"): value for name in NAMES})


def compared(outcome: Outcome) -> Outcome:
    """What must be alike in two requests."""
    return replace(
        outcome,
        duration_seconds=None,
        ttft_seconds=None,
        attempt_ttft_seconds=None,
        attempt_body_seconds=None,
        upstream_address=None,
    )


def test_the_names_are_found():
    assert {contract.TRY_NEXT, contract.RETRY_ON, contract.DESTINATION, contract.OVERFLOWS} <= set(NAMES)
    assert len(NAMES) > 30


async def test_a_client_sets_none_of_them(start_rig, start_server):
    server, other = await start_server(fixed(200, BODY)), await start_server(fixed(500, b"{}"))
    seen: list[dict[str, str]] = []

    def choose(head, body):
        seen.append(dict(head))
        return pick(other.address, server.address)

    rig = await start_rig(choose, [server.address, other.address])
    wrote = {name.replace("-", "_"): FORGED for name in NAMES}
    status, headers, body = await rig.chat(**wrote)
    assert (status, body) == (200, BODY)
    assert {name for name, value in seen[0].items() if value == FORGED} == {
        *PASSED_ON,
        *contract.PICKER_INPUTS,
    }
    for reached in (*other.received, *server.received):
        assert {name for name, value in reached.headers.items() if value == FORGED} == PASSED_ON
    assert len(other.received) == len(server.received) == 1
    assert {name.lower() for name, value in headers.items() if value == FORGED} == {contract.REQUEST_ID}
    plainly = (await rig.chat())[0]
    first, second = await rig.logged(2)
    assert plainly == status
    assert compared(first.outcome) == compared(second.outcome)
    assert (first.owner, first.outcome.decision_id) == ("p1", "p1-1")


async def answered_alike(rig: Rig, answers: list[Answer], honest: Answer, status: int) -> None:
    """A request whose answer is forged ends as one whose answer is not."""
    answers.append(honest)
    expected = await rig.chat()
    found = {}
    for value in (FORGED, contract.UNREACHABLE, "true"):
        answers.append(forged(status, value=value))
        found[value] = await rig.chat()
        assert found[value][0] == expected[0] == status, value
        assert found[value][2] == expected[2], value
        ours = {name for name, one in found[value][1].items() if name.lower() in NAMES and one == value}
        assert ours <= UNREAD_OF_ANSWERS, value
    first, *others = [compared(one.outcome) for one in await rig.logged(4)]
    assert others == [first] * 3


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("route", [None, "0"])
async def test_a_server_of_ones_own_sets_none_of_them(start_rig, start_server, status, route):
    answers: list[Answer] = []

    async def scripted(request, writer):
        await answers.pop(0)(request, writer)

    server, other = await start_server(scripted), await start_server(fixed(200, b'"next"'))
    more = {} if route is None else {contract.OWN_ROUTE: route, contract.READ_OVERFLOW: contract.FLAG}
    conditions = {} if route is None else {contract.RETRY_ON: "retriable-headers"}
    rig = await start_rig(
        lambda head, body: pick(server.address, other.address, more=more, headers=conditions),
        [server.address, other.address],
    )
    await answered_alike(rig, answers, raw(status, BODY, JSON), status)
    assert other.received == []


@pytest.mark.parametrize("status", [200, 400])
async def test_a_provider_sets_none_of_them(start_provider_rig, start_server, stub, status):
    other = await start_server(fixed(200, b'"next"'))
    rig = await start_provider_rig(stub, other.address)
    await answered_alike(rig, stub.script, raw(status, BODY, JSON), status)
    assert other.received == []


async def test_a_server_that_is_asked_without_a_pick_sets_none_of_them(start_rig, start_server):
    server = await start_server(forged(200))
    rig = await start_rig(lambda head, body: None, [], fail_open=(server.address,), settings=OPEN)
    await rig.extproc.stop(None)
    status, headers, _ = await rig.chat()
    assert status == 200
    assert {name.lower() for name, value in headers.items() if value == FORGED} <= UNREAD_OF_ANSWERS
