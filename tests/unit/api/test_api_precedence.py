"""Which of several matching policies wins, and which never apply."""

import itertools
import random
import re

import pytest
from api_manifests import compiled, policy, pool
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.compile import Compiled
from pilotage_api.snapshot import PolicyRoute

POOL = pool("p", ["m"])


def order(*policies: dict, namespaces: tuple[str, ...] = ("*",)) -> list[str]:
    result = compiled(pool("p", ["m"], allowedNamespaces={"from": "All"}), *policies, namespaces=namespaces)
    return [route.policy.partition("/")[2] for route in result.snapshot.routes]


def route(name: str, match: dict, **more) -> dict:
    return policy(name, match, ["m"], **more)


def header(name: str, value: str | None = None) -> dict:
    return {"name": name} if value is None else {"name": name, "value": value}


RANKED = [
    route("z-exact-path", {"models": ["a"], "paths": [{"value": "/v1", "type": "Exact"}]}),
    route("y-long-prefix", {"models": ["a"], "paths": [{"value": "/v1/chat"}]}),
    route(
        "x-prefix-two-headers",
        {"models": ["a"], "paths": [{"value": "/v1"}], "headers": [header("b"), header("c")]},
    ),
    route(
        "w-prefix-one-header", {"models": ["a"], "paths": [{"value": "/v1"}], "headers": [header("b", "1")]}
    ),
    route("v-prefix-older", {"models": ["a"], "paths": [{"value": "/v2"}]}, created="2025-01-01T00:00:00Z"),
    route("u-prefix-younger", {"models": ["a"], "paths": [{"value": "/v3"}]}, created="2026-01-01T00:00:00Z"),
    route("t-exact-model", {"models": ["a"]}),
    route("s-glob-and-path", {"models": ["a*"], "paths": [{"value": "/v1", "type": "Exact"}]}),
    route("r-glob", {"models": ["?"]}),
    route("q-any-model-path", {"paths": [{"value": "/v1", "type": "Exact"}]}),
    route("p-any-model-headers", {"headers": [header(one) for one in "abcd"]}),
    route("a-any", {}),
    route("b-any", {}),
]


def test_policies_rank_by_model_then_path_then_headers_then_age_then_name():
    expected = [one["metadata"]["name"] for one in RANKED]
    for seed in range(5):
        shuffled = random.Random(seed).sample(RANKED, len(RANKED))
        assert order(*shuffled) == expected


def test_namespace_and_name_decide_between_equals():
    equals = [route("b", {}), route("a", {}), route("c", {}, namespace="a")]
    for permutation in itertools.permutations(equals):
        assert order(*permutation) == ["c", "a", "b"]


def test_a_file_is_older_than_anything_with_a_time():
    assert order(route("b", {}), route("a", {}, created="2020-01-01T00:00:00Z")) == ["b", "a"]


def test_each_model_and_path_of_a_policy_is_a_way_in():
    result = compiled(
        POOL, route("x", {"models": ["a", "b*"], "paths": [{"value": "/v1"}, {"value": "/v2"}]})
    )
    found = [(one.model, one.glob, one.path.value) for one in result.snapshot.routes if one.path]
    assert found == [("a", False, "/v1"), ("a", False, "/v2"), ("b*", True, "/v1"), ("b*", True, "/v2")]


def test_header_names_do_not_care_about_case():
    [only] = compiled(POOL, route("x", {"headers": [header("X-Tier", "Gold")]})).snapshot.routes
    assert [(one.name, one.value) for one in only.headers] == [("x-tier", "Gold")]


def told(*policies: dict) -> list[tuple[str, str]]:
    """Code and policy of what is found about shadowing."""
    found = compiled(POOL, *policies).findings
    return [(one.code, one.resource.name) for one in found if one.resource]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"models": ["a"]}, {"models": ["a"]}),
        ({"headers": [header("A"), header("b")]}, {"headers": [header("B"), header("a")]}),
        ({"headers": [header("a")]}, {"headers": [header("a", "1")]}),
        ({"headers": [header("a"), header("b", "2")]}, {"headers": [header("a", "1"), header("b", "2")]}),
        ({"models": ["gpt-*"]}, {"models": ["gpt-4*"]}),
        ({"models": ["gpt-*"]}, {"models": ["gpt-?o"]}),
        ({"models": ["*"]}, {"models": ["*x*"]}),
        ({"models": ["g*"], "headers": [header("a")]}, {"models": ["gp*"], "headers": [header("a", "1")]}),
        ({"models": ["a", "b"]}, {"models": ["b", "a"]}),
        ({"models": ["*"]}, {}),
        ({"models": ["*"]}, {"paths": [{"value": "/v1/chat/completions", "type": "Exact"}]}),
        ({"models": ["*"]}, {"headers": [header("a", "1"), header("b")]}),
        ({"models": ["*"], "headers": [header("b")]}, {"headers": [header("a", "1"), header("b", "2")]}),
        ({"models": ["*"], "paths": [{"value": "/v1/"}]}, {"paths": [{"value": "/v1/chat"}]}),
    ],
)
def test_a_policy_whose_requests_another_takes_first_is_told_to_do_nothing(first, second):
    assert told(route("one", first), route("two", second)) == [("shadowed", "two")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"models": ["a"]}, {"models": ["b"]}),
        ({"models": ["a"]}, {}),
        ({"models": ["?*"]}, {}),
        ({"models": ["*"], "headers": [header("a")]}, {}),
        ({"models": ["*"], "headers": [header("a", "1")]}, {"headers": [header("a")]}),
        ({"models": ["*"], "paths": [{"value": "/v1/chat"}]}, {"paths": [{"value": "/v1"}]}),
        ({"models": ["gpt-4*"]}, {"models": ["gpt-*"]}),
        ({"models": ["gpt-?"]}, {"models": ["gpt-*"]}),
        ({"models": ["*a"]}, {"models": ["b*"]}),
        ({"headers": [header("a", "1")]}, {"headers": [header("a")]}),
        ({"headers": [header("a", "1")]}, {"headers": [header("a", "2")]}),
        ({"paths": [{"value": "/v1/responses", "type": "Exact"}]}, {"paths": [{"value": "/v1"}]}),
    ],
)
def test_a_policy_some_requests_still_reach_is_not(first, second):
    assert told(route("one", first), route("two", second)) == []


def test_a_policy_that_is_taken_in_part_is_told_so():
    assert told(route("one", {"models": ["a"]}), route("two", {"models": ["a", "b"]})) == [
        ("partly-shadowed", "two")
    ]


def test_overlap_inside_one_policy_is_no_shadow():
    assert told(route("one", {"models": ["*", "a*"]})) == []


def assert_shadowed_ones_never_win(result: Compiled) -> None:
    """Tries requests of every kind the strategy below can tell apart."""
    winners = set()
    values = [None, "1", "2", "3"]
    for model, path, x, y in itertools.product(
        ["", "a", "b", "ab", "abc", "c"], ["/", "/v1", "/v1/x", "/v2"], values, values
    ):
        given_headers = {"x": x, "y": y}
        winners.add(
            next((one.policy for one in result.snapshot.routes if takes(one, model, path, given_headers)), "")
        )
    told = {one.resource.key for one in result.findings if one.code == "shadowed" and one.resource}
    assert not told & winners


def takes(route: PolicyRoute, model: str, path: str, headers: dict[str, str | None]) -> bool:
    if route.model is not None:
        pattern = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in route.model)
        if re.fullmatch(pattern, model) is None:
            return False
    if route.path is not None:
        under = route.path.prefix and path.startswith(route.path.value.rstrip("/") + "/")
        if path != route.path.value and not under:
            return False
    return all(
        headers[one.name] is not None and one.value in (None, headers[one.name]) for one in route.headers
    )


matches = st.fixed_dictionaries(
    {},
    optional={
        "models": st.lists(st.sampled_from(["a", "b", "ab", "a*", "*", "?", "a?"]), unique=True, max_size=3),
        "paths": st.lists(
            st.builds(
                lambda value, kind: {"value": value, "type": kind},
                st.sampled_from(["/", "/v1", "/v1/x"]),
                st.sampled_from(["Exact", "Prefix"]),
            ),
            unique_by=str,
            max_size=2,
        ),
        "headers": st.lists(
            st.builds(header, st.sampled_from("xy"), st.sampled_from([None, "1", "2"])),
            unique_by=lambda one: one["name"],
            max_size=2,
        ),
    },
)
times = st.sampled_from([None, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.tuples(matches, times), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_precedence_is_a_total_order_whatever_order_resources_come_in(specs, chance):
    policies = [route(f"p{n}", match, created=at) for n, (match, at) in enumerate(specs)]
    expected = compiled(POOL, *policies)
    assert_shadowed_ones_never_win(expected)
    chance.shuffle(policies)
    other = compiled(*policies, POOL)
    assert other.snapshot == expected.snapshot
    assert {str(one.resource) + one.code for one in other.findings} == {
        str(one.resource) + one.code for one in expected.findings
    }
