"""Envoy's own errors on Anthropic's paths are Anthropic's error objects; elsewhere they stay OpenAI's."""

import json

import pytest
from envoy_rig import Rig, fixed, pick

ANTHROPIC = {"anthropic-version": "2023-06-01"}


@pytest.fixture
async def gone(start_rig, start_server) -> Rig:
    """A gateway whose picker has gone: every answer is Envoy's own."""
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.extproc.stop(None)
    return rig


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/messages", {}),
        ("/v1/messages?beta=true", {}),
        ("/v1/messages/count_tokens", {}),
        ("/v1/messages/batches", {}),
        ("/v1/models", ANTHROPIC),
        ("/v1/models/small?x", ANTHROPIC),
    ],
)
async def test_on_anthropics_paths_they_are_its_objects(gone, path, headers):
    sent = {"x-request-id": "r-1", **headers}
    async with gone.session.post(gone.url + path, data=b"{}", headers=sent) as answer:
        assert answer.status == 500
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["retry-after"] == "1"
        told = await answer.json()
    assert told.keys() == {"type", "error", "request_id"}
    assert (told["type"], told["request_id"]) == ("error", "r-1")
    assert told["error"] == {
        "type": "api_error",
        "message": "The gateway could not ask where to send this request.",
    }


@pytest.mark.parametrize(
    ("path", "headers"), [("/v1/messagesx", {}), ("/v1/models", {}), ("/v1/chat/completions", ANTHROPIC)]
)
async def test_elsewhere_they_are_openais(gone, path, headers):
    async with gone.session.post(gone.url + path, data=b"{}", headers=headers) as answer:
        assert (await answer.json())["error"]["code"] == "picker_unavailable"


async def test_each_status_has_its_type(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    await server.stop()
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    async with rig.session.post(f"{rig.url}/v1/messages", data=b"{}") as answer:
        assert answer.status == 503
        assert json.loads(await answer.read())["error"]["type"] == "overloaded_error"
