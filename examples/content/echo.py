"""A model that says again what it is asked, in the place of both pools' servers: python echo.py 9101 9102.

It speaks chat completions, messages and responses, streamed and not, a few characters an event. A message
that begins with "backwards " is answered from its end: so it says what no client could send.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from aiohttp import web

PIECE = 3


def last_text(asked: dict[str, Any]) -> str:
    """What the user said last."""
    said = asked.get("input", asked.get("messages"))
    if isinstance(said, list):
        said = said[-1]["content"]
    if isinstance(said, list):
        said = "".join(part.get("text", "") for part in said)
    text = str(said)
    return text.removeprefix("backwards ")[::-1] if text.startswith("backwards ") else text


def chat(text: str, model: str) -> dict[str, Any]:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1732845600, "model": model}
    return {**head, "choices": [choice], "usage": usage}


def chat_events(text: str, model: str) -> Iterator[dict[str, Any]]:
    """The same, streamed."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1732845600, "model": model}
    for at in range(0, len(text), PIECE):
        delta = {"content": text[at : at + PIECE]}
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def message(text: str, model: str) -> dict[str, Any]:
    """A message."""
    usage = {"input_tokens": 5, "output_tokens": 7}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return {**head, "content": [{"type": "text", "text": text}], **stop, "usage": usage}


def message_events(text: str, model: str) -> Iterator[dict[str, Any]]:
    """The same, streamed."""
    yield {"type": "message_start", "message": {**message(text, model), "content": [], "stop_reason": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for at in range(0, len(text), PIECE):
        delta = {"type": "text_delta", "text": text[at : at + PIECE]}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7}}
    yield {"type": "message_stop"}


def response(text: str, model: str) -> dict[str, Any]:
    """A response."""
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "o1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    head = {"id": "resp_1", "object": "response", "created_at": 1732845600, "model": model}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
    return {**head, **rest, "status": "completed", "output": [item], "usage": usage}


def response_events(text: str, model: str) -> Iterator[dict[str, Any]]:
    """The same, streamed."""
    done = response(text, model)
    [item], place = done["output"], {"item_id": "o1", "output_index": 0, "content_index": 0}
    begun = {**done, "status": "in_progress", "output": []}
    empty = {**item["content"][0], "text": ""}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}
    yield {"type": "response.content_part.added", **place, "part": empty}
    for at in range(0, len(text), PIECE):
        yield {"type": "response.output_text.delta", **place, "delta": text[at : at + PIECE]}
    yield {"type": "response.output_text.done", **place, "text": text}
    yield {"type": "response.content_part.done", **place, "part": item["content"][0]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": done}


APIS = {
    "/v1/chat/completions": (chat, chat_events),
    "/v1/messages": (message, message_events),
    "/v1/responses": (response, response_events),
}


async def answer(request: web.Request) -> web.StreamResponse:
    """Say it again."""
    asked = await request.json()
    whole, events = APIS[request.path]
    text = last_text(asked)
    if not asked.get("stream"):
        return web.json_response(whole(text, asked["model"]))
    stream = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await stream.prepare(request)
    for number, event in enumerate(events(text, asked["model"])):
        named = f"event: {event['type']}\n" if "type" in event else ""
        numbered = {**event, "sequence_number": number} if "responses" in request.path else event
        await stream.write(f"{named}data: {json.dumps(numbered)}\n\n".encode())
        await asyncio.sleep(0.005)
    if request.path == "/v1/chat/completions":
        await stream.write(b"data: [DONE]\n\n")
    return stream


async def serve(ports: list[int]) -> None:
    """Until it is stopped."""
    app = web.Application()
    for path in APIS:
        app.router.add_post(path, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    for port in ports:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve([int(port) for port in sys.argv[1:]]))
