"""A provider's hop names what it cannot translate by its place in the client's body."""

import json

import pytest
from envoy_rig import fixed
from hosted_pools import LOOPBACK, hosted_pool
from whole_gateway import WholeGateway

USER = {"role": "user", "content": "hello"}
LATER = {"role": "system", "content": "Be kind."}
FILM = {"type": "video_url", "video_url": {"url": "https://films.example/1"}}
FILMED = {"role": "system", "content": [{"type": "text", "text": "mine"}, FILM]}
SOUND = {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}
PREFIX = {"systemPrompt": {"prefix": "Answer briefly."}}
REPLACE = {"systemPrompt": {"replace": "You are the spare."}}
POLICIES = {
    "alike": PREFIX,
    "replaced": REPLACE,
    "each": {**PREFIX, "perModel": [{"model": "second", **REPLACE}]},
    "the other way round": {**REPLACE, "perModel": [{"model": "second", **PREFIX}]},
    "none after one": {**PREFIX, "perModel": [{"model": "second", "parameters": {"remove": ["top_k"]}}]},
}
NO_TOOLS = {"tools": [{"deny": ["delete_*"]}]}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("delete_all", "look", "delete_one", "n" * 129)
]


@pytest.mark.parametrize("transform", POLICIES.values(), ids=POLICIES)
async def test_a_refusal_names_the_place_that_a_field_has_for_its_client(
    tmp_path, start_server, stub, transform
):
    names = ("first", "second")
    rule = {
        "candidates": [{"model": "first"}],
        "fallback": {"reasons": ["serverError"], "to": [{"model": "second"}]},
    }
    gateway = WholeGateway(
        tmp_path / "gateway",
        {"unused": [await start_server(fixed(200, b"{}"))]},
        rule,
        spec={"transform": transform, "governance": NO_TOOLS},
        documents=[hosted_pool(name, stub, "anthropic", model={"maxOutputTokens": 50}) for name in names],
        **LOOPBACK,
    )
    await gateway.start()
    try:
        await gateway.until_usable(*names)
        status, _, body = await gateway.chat(messages=[USER, LATER, SOUND])
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (400, "not_translatable")
        assert error["param"] == "messages.2.content.0.type"
        assert "`messages.2.content.0.type`" in error["message"]
        if "replace" not in json.dumps(transform):  # which takes the film away
            status, _, body = await gateway.chat(messages=[FILMED, USER])
            assert (status, json.loads(body)["error"]["param"]) == (400, "messages.0.content.1.type")
        status, _, body = await gateway.chat(messages=[USER], tools=TOOLS)
        error = json.loads(body)["error"]
        assert (status, error["param"]) == (400, "tools.3.function.name")
        assert stub.received == []
    finally:
        await gateway.stop()
