"""Which requests' answers may be asked for is known by path and headers, before their body is."""

import pytest

from pilotage_api.snapshot import HeaderMatch, PathMatch, RoutingSnapshot
from pilotage_extproc.rules.routing_index import PolicyEntry, RoutingIndex
from pilotage_extproc.rules.rule import Policy


def index(*ways: tuple[PathMatch | None, tuple[HeaderMatch, ...]]) -> RoutingIndex:
    policy = Policy("default/p", ())
    return RoutingIndex(
        RoutingSnapshot(), answer_ways=tuple(PolicyEntry(policy, path, headers) for path, headers in ways)
    )


CHAT = {":path": "/v1/chat/completions?x=1"}


def test_without_such_a_policy_no_answer_is_asked_for() -> None:
    assert not index().may_read_answer(CHAT)


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        (None, True),
        (PathMatch(value="/v1/chat/completions", prefix=False), True),
        (PathMatch(value="/v1", prefix=True), True),
        (PathMatch(value="/v1/messages", prefix=False), False),
    ],
)
def test_a_policy_asks_where_its_path_fits(path: PathMatch | None, asks: bool) -> None:
    assert index((path, ())).may_read_answer(CHAT) is asks


def test_a_policy_asks_where_its_headers_fit() -> None:
    way = (None, (HeaderMatch(name="x-team", value="search"),))
    assert not index(way).may_read_answer(CHAT)
    assert index(way).may_read_answer({**CHAT, "x-team": "search"})
    assert index(way, (None, ())).may_read_answer(CHAT)
