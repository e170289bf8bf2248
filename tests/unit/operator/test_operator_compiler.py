"""The operator's compiler, which keeps what policies were compiled to, gives what compiling anew gives."""

import json

from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_objects
from pilotage_api.settings import GatewaySettings
from pilotage_operator.desired import Compiler
from pilotage_operator.resource_revision import Form

SETTINGS = GatewaySettings.model_validate({"namespaces": ["a", "b"], "kubernetes": {"namespace": "a"}})
MODELS = ("m0", "m1", "m2", "sql")


def models(names, **facts):
    return [{"name": name, **facts} for name in names]


POOLS = st.fixed_dictionaries(
    {
        "selector": st.just({"matchLabels": {"app": "x"}}),
        "targetPorts": st.just([8000]),
        "models": st.lists(st.sampled_from(MODELS[:3]), min_size=1, max_size=2, unique=True).flatmap(
            lambda names: st.sampled_from(
                [
                    models(names),
                    models(names, contextWindow=4096, capabilities=["tools"]),
                    models(names, pricing={"inputPerMillion": "1", "outputPerMillion": "2"}),
                    [{"name": names[0], "adapters": [{"name": "sql"}]}],
                    [{"name": names[0], "aliases": ["m1"]}],
                    "no list",
                ]
            )
        ),
    },
    optional={
        "allowedNamespaces": st.sampled_from(
            [{"from": "All"}, {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}]
        ),
        "engine": st.sampled_from(["vllm", "sglang"]),
    },
)
CANDIDATES = st.lists(
    st.sampled_from([*MODELS, "nobody"]).map(lambda name: {"model": name}),
    min_size=1,
    max_size=2,
    unique_by=str,
)
RULES = st.fixed_dictionaries(
    {"candidates": CANDIDATES},
    optional={
        "when": st.sampled_from(
            ['poolSaturation("p0") > 0.5', "request.stream", "true", 'poolSaturation("p9") > 1.0']
        ),
        "fallback": CANDIDATES.map(lambda to: {"reasons": ["serverError", "contextOverflow"], "to": to}),
        "require": st.just({"poolLabels": {"trust": "own"}}),
    },
)
POLICIES = st.fixed_dictionaries(
    {
        "match": st.sampled_from([{"models": ["auto"]}, {"models": ["a*", "m0"]}, {}]),
        "rules": st.lists(RULES, min_size=1, max_size=2) | st.just("no list"),
    },
    optional={
        "governance": st.sampled_from(
            [
                {"limits": [{"per": "key", "window": "1m", "requests": 5}]},
                {
                    "budgets": [
                        {"per": "policy", "period": "day", "timeZone": "UTC", "usd": "5", "mode": "hard"}
                    ]
                },
                {"kvIsolation": "tenant"},
            ]
        ),
        "scheduling": st.just({"scorers": [{"type": "no-such-plug-in", "weight": 1}]}),
    },
)
LABELS = st.sampled_from([{}, {"b": {"team": "x"}}, {"a": {"team": "x"}, "b": {"team": "y"}}])


def form(kind: str, place: tuple[str, int], spec: object, generation: int) -> Form:
    namespace, number = place
    name = f"{'p' if kind == 'ModelPool' else 'q'}{number}"
    created = f"2026-01-0{number + 1}T00:00:00Z"
    return Form(kind, namespace, name, f"{namespace}-{name}", generation, created, json.dumps(spec))


PLACES = st.tuples(st.sampled_from("ab"), st.integers(0, 2))
EDITS = st.one_of(
    st.tuples(st.just("ModelPool"), PLACES, POOLS | st.none()),
    st.tuples(st.just("RoutePolicy"), PLACES, POLICIES),
    st.tuples(st.just("RoutePolicy"), PLACES, POLICIES | st.none()),
    st.tuples(st.just("labels"), PLACES, LABELS),
)


@given(st.lists(EDITS, min_size=2, max_size=16))
@settings(max_examples=examples(200), deadline=None)
def test_after_any_edits_it_gives_what_compiling_anew_gives(edits):
    kept, forms, labels, last_good = Compiler(SETTINGS), {}, {}, {}
    for generation, (kind, place, spec) in enumerate(edits, start=1):
        if kind == "labels":
            labels = spec
        elif spec is None:
            forms.pop((kind, place), None)
        else:
            forms[kind, place] = form(kind, place, spec, generation)
        found = kept.compile(forms.values(), labels, last_good)
        assert found == Compiler(SETTINGS).compile(forms.values(), labels, last_good)
        last_good = found.forms


POOL = form("ModelPool", ("a", 0), {"selector": {"matchLabels": {"app": "x"}}, "models": models(["m0"])}, 1)
SERVED = {"match": {"models": ["auto"]}, "rules": [{"candidates": [{"model": "m0"}]}]}


def test_a_policy_that_stays_is_not_compiled_again_and_one_that_goes_is_forgotten():
    compiler = Compiler(SETTINGS)
    stays, goes = (form("RoutePolicy", ("a", number), SERVED, 1) for number in range(2))
    before = compiler.compile([POOL, stays, goes], {}, {}).snapshot
    edited = form("RoutePolicy", ("a", 2), SERVED, 1)
    after = compiler.compile([POOL, stays, edited], {}, {}).snapshot
    [route] = [one for one in before.routes if one.policy == "a/q0"]
    assert any(one is route for one in after.routes)
    assert {key.name for key in compiler.remembered} == {"q0", "q2"}


def test_an_edit_of_a_pool_compiles_all_policies_again():
    compiler = Compiler(SETTINGS)
    one = form("RoutePolicy", ("a", 0), SERVED, 1)
    [before] = compiler.compile([POOL, one], {}, {}).snapshot.routes
    other = form("ModelPool", ("a", 1), {"selector": {"matchLabels": {}}, "models": models(["m1"])}, 1)
    [after] = compiler.compile([POOL, other, one], {}, {}).snapshot.routes
    assert after == before
    assert after is not before


def test_other_settings_compile_all_policies_again():
    [both] = [form("RoutePolicy", ("b", 0), SERVED, 1)]
    loaded = load_objects([POOL.as_object(), both.as_object()])
    first = compile_resources(loaded, SETTINGS)
    narrower = SETTINGS.model_copy(update={"namespaces": ["a"]})
    again = compile_resources(loaded, narrower, earlier=first.policies)
    assert [one.code for one in again.findings].count("not-obeyed") == 1
    assert again.snapshot.routes == ()
