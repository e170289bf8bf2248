"""Transforms in a cluster: what the API server refuses, and that the rest reaches pickers."""

import pytest
from operator_run import policy, pool

from pilotage_kube.errors import Invalid

PARAMETERS = "spec.transform.parameters"


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        ({"systemPrompt": {"prefix": "a", "replace": "b"}}, "replace stands without prefix and suffix"),
        ({"systemPrompt": {}}, "says nothing"),
        ({"parameters": {"top_p": {}}}, "says nothing"),
        ({"parameters": {"top_p": {"minimum": "0.9", "maximum": "0.10"}}}, "minimum is at most maximum"),
        ({"parameters": {"top_p": {"default": "0.9", "maximum": "0.10"}}}, "default lies between"),
        ({"parameters": {"max_tokens": {"minimum": "9"}}}, "max_tokens has no minimum"),
        ({"parameters": {"top_k": {"maximum": "9"}, "remove": ["top_k"]}}, "not both"),
        ({"parameters": {"top_p": {"maximum": "1e3"}}}, f"{PARAMETERS}.top_p.maximum"),
    ],
)
async def test_the_api_server_refuses_what_check_refuses(operators, transform, told):
    with pytest.raises(Invalid, match=told):
        await operators.apply(policy("auto", "auto", "llama", transform=transform))


async def test_a_transform_reaches_the_picker(operators):
    transform = {
        "systemPrompt": {"prefix": "Answer briefly."},
        "parameters": {"temperature": {"maximum": "1.0"}, "max_tokens": {"maximum": "100"}},
        "perModel": [{"model": "llama", "parameters": {"remove": ["top_k"]}}],
    }
    served, auto = pool("small", "llama"), policy("auto", "auto", "llama", transform=transform)
    await operators.apply(served, auto)
    picker = operators.pick()
    operators.start()
    await operators.says(auto, "True True True")
    [made] = picker.snapshot.transforms
    assert (made.prefix, made.remove) == ("Answer briefly.", ("top_k",))
    assert [bound.name for bound in made.bounds] == ["max_tokens", "temperature"]
