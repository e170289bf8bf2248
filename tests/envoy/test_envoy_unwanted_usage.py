"""A client that wants no usage in its stream sees none, and is counted all the same."""

import json

import pytest
from envoy_rig import chunk, fixed, stream_head
from whole_gateway import WholeGateway


async def engine(request, writer):
    """Streams two pieces, and a usage of five tokens where it is asked for."""
    writer.write(stream_head())
    for text in ("two ", "pieces"):
        said = {"choices": [{"index": 0, "delta": {"content": text}}]}
        writer.write(chunk(b"data: " + json.dumps(said).encode() + b"\n\n"))
    if json.loads(request.body)["stream_options"]["include_usage"] is True:
        used = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
        writer.write(chunk(b"data: " + json.dumps(used).encode() + b"\n\n"))
    writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))


@pytest.mark.parametrize("said", [False, None])
async def test_a_wish_for_no_usage_is_kept_and_evades_no_budget(tmp_path, start_server, said):
    failing, spare = await start_server(fixed(503, b"{}")), await start_server(engine)
    rule = {"fallback": {"reasons": ["serverError"], "to": [{"model": "spare"}]}}
    price = {"inputPerMillion": "1000", "outputPerMillion": "1000"}
    budget = {"budgets": [{"per": "policy", "period": "day", "usd": "5", "mode": "soft"}]}
    gateway = WholeGateway(
        tmp_path / "gateway",
        {"first": [failing], "spare": [spare]},
        rule,
        spec={"governance": budget},
    )
    folder = tmp_path / "gateway" / "all.yaml"
    folder.write_text(
        folder.read_text().replace("- name: spare", f"- name: spare\n    pricing: {json.dumps(price)}")
    )
    await gateway.start()
    try:
        status, _, body = await gateway.chat(stream=True, stream_options={"include_usage": said})
        assert (status, b"usage" in body, body.count(b"data:")) == (200, False, 3)
        assert json.loads(spare.received[-1].body)["stream_options"]["include_usage"] is True
        outcome = (await gateway.explained())["outcome"]
        assert outcome["attempts"] == 2
        await gateway.until(lambda: gateway.runtime.state.accounting.memory.figures() != (0, 0, 0))
        assert gateway.runtime.state.accounting.memory.figures() == ((9 + 5) * 1_000_000, 0, 0)
    finally:
        await gateway.stop()
