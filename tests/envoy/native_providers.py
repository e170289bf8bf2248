"""Providers, and own servers, that answer each call of their API, and judge what they are asked."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from provider_stub import refused
from pydantic import ValidationError
from scripted_server import Answer, Received, chunk, fixed, stream_head
from sdk_types import check_request
from spoken_answers import TOOLS, Spoken

from pilotage_extproc.domain.head import CallKind

OWN: Final = "own"
"""An own server, which has every API itself, as vLLM does, and as it signs thinking with a random number."""
_SIGNATURE: Final = "c2ln"
"""What Anthropic signs with here."""
CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    OWN: ("/v1/chat/completions", "/v1/messages", "/v1/responses"),
    "openai": ("/v1/chat/completions", "/v1/responses"),
    "openai-chat": ("/v1/chat/completions",),
    "azure": ("/openai/deployments/up-azure/chat/completions", "/openai/responses"),
    "anthropic": ("/v1/messages",),
}
"""Paths that a provider of each API has, and an own server."""
_KINDS: Final = {"completions": CallKind.CHAT, "messages": CallKind.MESSAGES}


def native(dialect: str, translated: list[str], said: Spoken = TOOLS) -> Answer:
    """A provider's answer to whatever is asked; `translated` are paths that the gateway translates to it."""

    def signed(text: bytes) -> bytes:
        return text.replace(_SIGNATURE.encode(), uuid4().hex.encode()) if dialect == OWN else text

    async def answer(request: Received, writer: asyncio.StreamWriter) -> None:
        path, asked = request.path.partition("?")[0], json.loads(request.body)
        call = path.rpartition("/")[2]
        wrong = _wrong(dialect, path, asked, check=path in translated)
        if wrong is not None:
            await refused(400, "invalid_request_error", wrong)(request, writer)
        elif asked.get("stream"):
            writer.write(stream_head())
            for event in signed(said.stream[call]).split(b"\n\n")[:-1]:
                if _wanted(asked, event):
                    writer.write(chunk(event + b"\n\n"))
            writer.write(chunk(b""))
        else:
            await fixed(200, signed(json.dumps(said.whole[call]).encode()))(request, writer)

    return answer


def _wanted(asked: dict[str, Any], event: bytes) -> bool:
    """Usage of a chat's stream comes to those who ask for it."""
    return b'"choices": []' not in event or asked.get("stream_options", {}).get("include_usage") is True


def _wrong(dialect: str, path: str, asked: dict[str, Any], *, check: bool) -> str | None:
    """Why the provider refuses a request."""
    call = path.rpartition("/")[2]
    if path not in CALLS[dialect]:
        return f"no such path: {path}"
    if asked["model"] != (dialect if dialect == OWN else f"up-{dialect}"):
        return f"no such model: {asked['model']}"
    if check and call in _KINDS:
        try:
            check_request(_KINDS[call], asked)
        except (ValidationError, AssertionError) as error:
            return f"not as the SDK has it: {error}"
    if dialect != OWN and call == "messages" and not all(map(_signed, asked["messages"])):
        return "messages: thinking without a valid signature"
    return None


def _signed(message: dict[str, Any]) -> bool:
    content = message["content"]
    blocks = content if isinstance(content, list) else []
    return all(one.get("signature") == _SIGNATURE for one in blocks if one["type"] == "thinking")
