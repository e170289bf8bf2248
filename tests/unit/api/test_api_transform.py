"""Transforms of policies: what reaches the snapshot, and what never takes effect."""

import pytest
from api_manifests import brief, compiled, load, only, policy, pool

from pilotage_api.previous_snapshot import lowered
from pilotage_api.transform_parameters import NUMBERS
from pilotage_api.transform_snapshot import BoundSnapshot, TransformSnapshot

POOLS = (pool("p", ["small"]), pool("q", ["strong"]), pool("r", ["qwen-7b", "qwen-72b"]))
CHAT = {"paths": [{"value": "/v1/chat/completions", "type": "Exact"}]}
BRIEF = {"systemPrompt": {"prefix": "Briefly."}}


def done(transform, candidates=("small",), match=CHAT, **spec):
    return compiled(*POOLS, policy("auto", match, candidates, transform=transform, **spec))


def by_model(found) -> dict[str, TransformSnapshot]:
    """What each model gets, without names."""
    [route] = found.snapshot.routes
    known = {one.name: one.model_copy(update={"name": ""}) for one in found.snapshot.transforms}
    return {model: known[name] for model, name in route.rules[0].transforms.items()}


def test_what_a_model_says_holds_before_what_the_policy_says():
    found = done(
        {
            "systemPrompt": {"prefix": "Briefly."},
            "parameters": {
                "temperature": {"maximum": "1.0"},
                "top_k": {"maximum": "40"},
                "top_p": {"default": "0.9"},
                "remove": ["user"],
            },
            "perModel": [
                {"model": "qwen-*", "systemPrompt": {"replace": "You are Qwen."}},
                {
                    "model": "strong",
                    "parameters": {"temperature": {"default": "0.2"}, "remove": ["top_k", "logit_bias"]},
                },
            ],
        },
        ["small", "strong", "qwen-7b"],
    )
    assert found.findings == ()
    top_p = BoundSnapshot(name="top_p", default="0.9")
    cool, top_k = BoundSnapshot(name="temperature", maximum="1.0"), BoundSnapshot(name="top_k", maximum="40")
    usual = {"name": "", "bounds": (cool, top_k, top_p), "remove": ("user",)}
    assert by_model(found) == {
        "small": TransformSnapshot(prefix="Briefly.", **usual),
        "qwen-7b": TransformSnapshot(replace="You are Qwen.", **usual),
        "strong": TransformSnapshot(
            name="",
            prefix="Briefly.",
            bounds=(BoundSnapshot(name="temperature", default="0.2"), top_p),
            remove=("logit_bias", "top_k", "user"),
        ),
    }


def test_an_exact_name_holds_before_a_glob_and_the_first_glob_before_the_next():
    entries = [("qwen-7*", "a"), ("qwen-7?", "never"), ("qwen-7b", "exact"), ("*-72b", "never")]
    transform = {"perModel": [{"model": one, "systemPrompt": {"prefix": text}} for one, text in entries]}
    found = done(transform, ["qwen-7b", "qwen-72b"])
    assert {model: one.prefix for model, one in by_model(found).items()} == {
        "qwen-7b": "exact",
        "qwen-72b": "a",
    }
    assert brief(found.findings) == [
        ("warning", "no-effect", "spec.transform.perModel[1].model"),
        ("warning", "no-effect", "spec.transform.perModel[3].model"),
    ]


def test_models_that_are_changed_alike_share_one_transform():
    found = done(BRIEF, ["small", "strong"])
    assert [one.name for one in found.snapshot.transforms] == ["default/auto/0"]
    assert found.snapshot.routes[0].rules[0].transforms == {
        "small": "default/auto/0",
        "strong": "default/auto/0",
    }


def test_models_of_a_fallback_are_changed_too():
    to = {"reasons": ["serverError"], "to": [{"model": "strong"}]}
    transform = {"perModel": [{"model": "strong", "parameters": {"remove": ["top_k"]}}]}
    found = done(transform, fallback=to)
    assert found.findings == ()
    assert set(by_model(found)) == {"strong"}


def test_a_policy_without_a_transform_says_nothing_of_it():
    found = compiled(*POOLS, policy("auto", CHAT))
    assert found.snapshot.transforms == ()
    assert found.snapshot.routes[0].rules[0].transforms == {}


def test_an_entry_that_names_no_candidate_is_told():
    found = only(done({**BRIEF, "perModel": [{"model": "strng", **BRIEF}]}).findings)
    assert (found.severity.value, found.code) == ("warning", "no-such-candidate")
    assert (found.path, found.fix) == (
        "spec.transform.perModel[0].model",
        "name one of small, or remove it",
    )


def test_a_parameter_that_no_matched_call_has_is_told():
    match = {"paths": [{"value": "/v1/responses", "type": "Exact"}]}
    found = done({"parameters": {"top_k": {"maximum": "5"}, "temperature": {"maximum": "1"}}}, match=match)
    assert brief(found.findings) == [("warning", "no-effect", "spec.transform.parameters.top_k")]


@pytest.mark.parametrize(
    ("match", "told"),
    [
        (CHAT, []),
        ({}, [("info", "no-system-prompt", "spec.transform.systemPrompt")]),
        (
            {"paths": [{"value": "/v1/completions"}]},
            [("warning", "no-effect", "spec.transform.systemPrompt")],
        ),
    ],
)
def test_calls_without_a_system_prompt_are_told(match, told):
    assert brief(done(BRIEF, match=match).findings) == told


@pytest.mark.parametrize(
    ("transform", "path"),
    [
        ({"systemPrompt": {}}, "systemPrompt"),
        ({"systemPrompt": {"prefix": "a", "replace": "b"}}, "systemPrompt.replace"),
        ({"systemPrompt": {"prefix": " "}}, "systemPrompt.prefix"),
        ({"parameters": {"temperature": {}}}, "parameters.temperature"),
        ({"parameters": {"temperature": {"minimum": "2", "maximum": "1"}}}, "parameters.temperature.minimum"),
        ({"parameters": {"temperature": {"default": "2", "maximum": "1"}}}, "parameters.temperature.default"),
        ({"parameters": {"temperature": {"maximum": "1e3"}}}, "parameters.temperature.maximum"),
        ({"parameters": {"temperatur": {"maximum": "1"}}}, "parameters.temperatur"),
        ({"parameters": {"top_k": {"maximum": "1.5"}}}, "parameters.top_k.maximum"),
        ({"parameters": {"max_tokens": {"minimum": "5"}}}, "parameters.max_tokens.minimum"),
        ({"parameters": {"max_tokens": {"maximum": "0"}}}, "parameters.max_tokens.maximum"),
        ({"parameters": {"top_k": {"maximum": "5"}, "remove": ["top_k"]}}, "parameters.top_k"),
        ({"parameters": {"choices": {"maximum": "5"}, "remove": ["n"]}}, "parameters.choices"),
        ({"parameters": {"choices": {"maximum": "5", "default": "5"}}}, "parameters.choices.default"),
        ({"parameters": {"best_of": {"maximum": "5", "minimum": "2"}}}, "parameters.best_of.minimum"),
        ({"parameters": {"remove": ["model"]}}, "parameters.remove[0]"),
        ({"parameters": {"remove": ["a-b"]}}, "parameters.remove[0]"),
        ({"perModel": [{"model": "a?*b*?c*d?e*f", **BRIEF}]}, "perModel[0].model"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(transform, path):
    loaded = load(policy("auto", transform=transform))
    assert [one.path for one in loaded.findings] == [f"spec.transform.{path}"]


def test_every_number_is_a_field_under_the_name_that_apis_have_for_it():
    given = {"parameters": {name: {"maximum": "1"} for name in NUMBERS}}
    [bounds] = {one.bounds for one in by_model(done(given)).values()}
    assert {one.name for one in bounds} == set(NUMBERS)


def test_the_format_before_cannot_say_a_transform():
    found = lowered(done(BRIEF).snapshot)
    assert (found.snapshot, found.policies) == (None, ("default/auto",))
