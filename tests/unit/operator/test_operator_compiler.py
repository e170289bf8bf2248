"""The operator's compiler, which keeps what policies were compiled to, gives what compiling anew gives."""

import json

from edited_specs import LABELS, POLICIES, POOLS, models
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_objects
from pilotage_api.settings import GatewaySettings
from pilotage_operator.desired import Compiler
from pilotage_operator.resource_revision import Form

SETTINGS = GatewaySettings.model_validate({"namespaces": ["a", "b"], "kubernetes": {"namespace": "a"}})


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
