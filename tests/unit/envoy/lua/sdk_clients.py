"""The SDKs' own clients, fed an answer as bytes: their parsers and accumulators are the judges."""

from typing import Any

import anthropic
import httpx
import httpx2
import openai


def openai_client(body: bytes, content_type: str = "text/event-stream", status: int = 200) -> openai.OpenAI:
    """A client of OpenAI's API whose server answers this."""
    answer = httpx.Response(status, headers={"content-type": content_type}, content=body)
    http = httpx.Client(transport=httpx.MockTransport(lambda _: answer))
    return openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=http, max_retries=0)


def anthropic_client(
    body: bytes, content_type: str = "text/event-stream", status: int = 200
) -> anthropic.Anthropic:
    """A client of Anthropic's API whose server answers this."""
    answer = httpx2.Response(status, headers={"content-type": content_type}, content=body)
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: answer))
    return anthropic.Anthropic(api_key="k", base_url="http://x", http_client=http, max_retries=0)


def streamed_chat(body: bytes) -> Any:
    """The chat completion that the SDK puts together."""
    with openai_client(body).chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "x"}], stream_options={"include_usage": True}
    ) as stream:
        stream.until_done()
        return stream.get_final_completion()


def streamed_message(body: bytes) -> Any:
    """The message that the SDK puts together."""
    with anthropic_client(body).messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
    ) as stream:
        return stream.get_final_message()


def streamed_response(body: bytes) -> Any:
    """The response that the SDK puts together."""
    with openai_client(body).responses.stream(model="m", input="x") as stream:
        return stream.get_final_response()


def chunks_of(body: bytes) -> list[Any]:
    """The chunks of a stream of a chat completion, as the SDK reads them."""
    client = openai_client(body)
    return list(client.chat.completions.create(model="m", messages=[], stream=True))
