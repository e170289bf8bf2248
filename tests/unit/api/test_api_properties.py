"""Whatever is thrown at it, loading and compiling answer with findings."""

import time

import yaml
from api_manifests import policy, pool
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.compile import compile_resources
from pilotage_api.findings import Severity
from pilotage_api.load import load_objects, load_texts
from pilotage_api.settings import GatewaySettings

WORDS = [
    "apiVersion", "kind", "metadata", "name", "namespace", "labels", "spec", "status", "items", "endpoints",
    "address", "port", "engine", "models", "aliases", "adapters", "allowedNamespaces", "from", "selector",
    "matchLabels", "match", "headers", "paths", "value", "type", "rules", "candidates", "model", "weight",
    "when", "governance", "pilotage.dev/v1alpha1", "v1", "ModelPool", "RoutePolicy", "GatewaySettings",
    "Namespace", "List", "Selector", "a", "*", "/v1", "", "\ud800", "\x1b",
]  # fmt: skip
words = st.sampled_from(WORDS)
scalars = st.none() | st.booleans() | st.integers(-3, 70_000) | st.floats() | words | st.text(max_size=4)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=25,
)


def edit(value, path, new):
    """A copy with the value at a path of keys and indices replaced; stops where the path ends."""
    if not path:
        return new
    if isinstance(value, dict) and value:
        key = sorted(value)[path[0] % len(value)]
        return {**value, key: edit(value[key], path[1:], new)}
    if isinstance(value, list) and value:
        at = path[0] % len(value)
        return [*value[:at], edit(value[at], path[1:], new), *value[at + 1 :]]
    return new


good = st.sampled_from(
    [
        pool(
            "p",
            [{"name": "m", "aliases": ["x"], "adapters": [{"name": "y"}]}],
            created="2026-01-01T00:00:00Z",
        ),
        policy("r", {"models": ["a*"], "paths": [{"value": "/v1"}], "headers": [{"name": "h"}]}, ["x", "y"]),
        {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "GatewaySettings",
            "spec": {"body": {"maxBytes": 4096}},
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"a": "b"}}},
    ]
)
nearly_good = st.builds(edit, good, st.lists(st.integers(0, 9), max_size=6), anything)


def check(loaded) -> None:
    compiled = compile_resources(loaded, loaded.settings or GatewaySettings())
    for finding in compiled.findings:
        finding.message.encode()
        finding.path.encode()
        str(finding.resource).encode()
        assert finding.message
    for key in loaded.refused:
        assert any(one.resource == key and one.severity is Severity.ERROR for one in loaded.findings), key
    assert compile_resources(loaded, GatewaySettings(), compiled.in_force).snapshot.version


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(nearly_good | anything, max_size=4))
def test_any_objects_are_loaded_and_compiled_without_raising(objects):
    check(load_objects(objects))


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.text(max_size=40) | nearly_good.map(yaml.safe_dump), max_size=3))
def test_any_texts_are_loaded_and_compiled_without_raising(texts):
    check(load_texts((f"{n}.yaml", text) for n, text in enumerate(texts)))


def test_two_thousand_policies_and_five_thousand_endpoints_compile_fast():
    pools = [
        pool(
            f"p{n}",
            [{"name": f"m{n}", "aliases": [f"a{n}"], "adapters": [{"name": f"l{n}-{k}"} for k in range(5)]}],
            endpoints=[{"address": f"10.{n}.0.{k}", "port": 8000} for k in range(50)],
            allowedNamespaces={"from": "All"},
        )
        for n in range(100)
    ]
    policies = [
        policy(
            f"r{n}",
            {"models": [f"auto{n}", f"g{n}*"], "headers": [{"name": "x-tier", "value": str(n)}]},
            [f"a{n % 100}", f"m{(n + 1) % 100}"],
            namespace=f"team-{n % 500}",
        )
        for n in range(2000)
    ]
    loaded = load_objects([*pools, *policies])
    times = []
    for _ in range(3):
        started = time.process_time()
        compiled = compile_resources(loaded, GatewaySettings(namespaces=("*",)))
        times.append(time.process_time() - started)
    assert compiled.findings == ()
    assert len(compiled.snapshot.routes) == 4000
    assert min(times) < 3.0, times  # of CPU; a pass over policies for each policy would take minutes
