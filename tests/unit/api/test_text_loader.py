"""Texts loaded again: what is the same is not read again, and the whole is what reading anew gives."""

import json

import yaml
from api_manifests import namespace, policy, pool
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage_api.load import load_texts
from pilotage_api.text_loader import TextLoader

DOCUMENTS = st.sampled_from(
    [
        pool("small"),
        pool("small", ["other"]),
        pool("wrong", "no list"),
        policy("chat"),
        policy("chat", {"models": ["auto"]}),
        policy("wrong", {"model": "misspelt"}),
        namespace("default", team="x"),
        namespace("default", team="y"),
        {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": {"maxAttempts": 3}},
        {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": {"maxAttempt": 3}},
        {"apiVersion": "pilotage.dev/v2", "kind": "ModelPool", "metadata": {"name": "later"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}},
        {"apiVersion": "v1", "kind": "List", "items": [pool("small"), policy("listed")]},
        {"kind": "ModelPol"},
        "no resource",
    ]
)
TEXTS = st.lists(DOCUMENTS, max_size=3).map(yaml.safe_dump_all) | st.sampled_from(
    ["[", json.dumps(pool("j"))]
)
NAMES = st.sampled_from(["a.yaml", "b.yaml", "c.json", "d.yaml"])
EDITS = st.lists(st.tuples(NAMES, TEXTS | st.none()), min_size=2, max_size=12)


def held(loaded):
    """All that it says, and on which line each resource and its rules stand."""
    lines = {key: (loaded.at(key), loaded.at(key, "spec.rules[0]")) for key in loaded.origins}
    return (
        list(loaded.resources.items()),
        loaded.refused,
        loaded.refused_specs,
        loaded.namespace_labels,
        loaded.settings,
        loaded.findings,
        loaded.unreadable,
        loaded.foreign,
        lines,
    )


@given(EDITS)
@settings(max_examples=examples(400), deadline=None)
def test_after_any_edits_it_gives_what_reading_anew_gives(edits):
    kept, files = TextLoader(), {}
    for name, text in edits:
        files[name] = text
        texts = [(name, text) for name, text in sorted(files.items()) if text is not None]
        assert held(kept.load(texts)) == held(load_texts(texts))


def test_a_text_that_stays_gives_the_very_objects_and_one_that_changes_gives_others():
    loader = TextLoader()
    stays, before, after = (
        ("a.yaml", yaml.safe_dump(pool("stays"))),
        ("b.yaml", yaml.safe_dump(pool("edited"))),
        ("b.yaml", yaml.safe_dump(pool("edited", ["m"]))),
    )
    first, second = (loader.load([stays, text]).resources for text in (before, after))
    assert [first[key] is second[key] for key in first] == [True, False]


def test_what_is_written_into_one_outcome_is_not_in_the_next():
    loader, texts = TextLoader(), [("a.yaml", yaml.safe_dump(pool("small")))]
    first = loader.load(texts)
    first.unreadable.add("b.yaml")
    first.resources.clear()
    assert held(loader.load(texts)) == held(load_texts(texts))


def test_resources_that_name_no_namespace_are_in_the_one_given():
    unplaced = pool("small")
    del unplaced["metadata"]["namespace"]
    [key] = TextLoader("team").load([("a.yaml", yaml.safe_dump(unplaced))]).resources
    assert key.namespace == "team"
