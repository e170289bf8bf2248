"""Usage, ids and errors out of a response that passes through ext_proc, for gateways whose Envoy reads none.

Server-sent events are cut anywhere by the network: lines are put together again before they are
read, and only lines that may hold usage or an id are parsed.
"""

from typing import Any

import orjson

from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.envoy import contract

_MAX_LINE_BYTES = 1 << 20
_MAX_JSON_BYTES = 8 << 20
_RESPONSE_OBJECT = "response"
_SUMMARY = "compaction"
_INPUT, _OUTPUT = "input_tokens", "output_tokens"
_READ, _CREATED = "cache_read_input_tokens", "cache_creation_input_tokens"
_INPUTS = (_INPUT, _READ, _CREATED)


class ResponseReader:
    """Reads one response's body, chunk by chunk. Bounded: what is too long to hold is unknown, not wrong."""

    def __init__(self, *, event_stream: bool) -> None:
        self.usage = TokenUsage()
        self.response_id: str | None = None
        self.stream_error: int | None = None
        """HTTP status that an error event in a stream stands for."""
        self._event_stream = event_stream
        self._held = bytearray()
        self._skip_line = False
        self._overflow = False
        self._apart: dict[str, int] = {}
        """Anthropic counts tokens that came from its cache, or went there, apart from the other input."""
        self._summaries: list[dict[str, Any]] = []
        """And those of summaries that it makes of a conversation apart from the whole."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if not self._event_stream:
            if len(self._held) + len(chunk) > _MAX_JSON_BYTES:
                self._overflow = True
                self._held.clear()
            elif not self._overflow:
                self._held += chunk
            return
        self._held += chunk
        end = self._held.rfind(b"\n")
        if end < 0:
            if len(self._held) > _MAX_LINE_BYTES:
                self._skip_line = True
                self._held.clear()
            return
        lines = bytes(self._held[:end]).split(b"\n")
        del self._held[: end + 1]
        for line in lines:
            if self._skip_line:
                self._skip_line = False
            else:
                self._read_line(line)

    def close(self) -> None:
        """The body has ended."""
        if self._event_stream:
            if self._held and not self._skip_line:
                self._read_line(bytes(self._held))
        elif self._held and not self._overflow:
            self._read_object(bytes(self._held))
        self._held.clear()

    def _read_line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        if b'"usage"' in line or b'"error"' in line or (self.response_id is None and b'"response"' in line):
            self._read_object(line[5:].strip())

    def _read_object(self, text: bytes) -> None:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        if not isinstance(value, dict):
            return
        self._take_usage(value.get("usage"))
        message, response = value.get("message"), value.get("response")
        if isinstance(message, dict):  # where an Anthropic stream begins: its length is not known yet
            self._take_usage(message.get("usage"), output=False)
        if isinstance(response, dict):  # Responses' events
            self._take_usage(response.get("usage"))
            self._take_id(response)
        self._take_id(value)
        if self._event_stream and self.stream_error is None:
            self.stream_error = _error_status(value, response)

    def _take_id(self, value: dict[str, Any]) -> None:
        found = value.get("id")
        if value.get("object") == _RESPONSE_OBJECT and isinstance(found, str):
            self.response_id = found

    def _take_usage(self, usage: object, *, output: bool = True) -> None:
        if not isinstance(usage, dict):
            return
        before = self.usage
        cached = _detail(usage, "cached_tokens", "prompt_tokens_details", "input_tokens_details")
        reasoning = _detail(usage, "reasoning_tokens", "completion_tokens_details", "output_tokens_details")
        if isinstance(iterations := usage.get("iterations"), list):
            entries = [one for one in iterations if isinstance(one, dict)]
            self._summaries = [one for one in entries if one.get("type") == _SUMMARY]
        created: object = self._with_summaries(usage, _CREATED)
        if created is None:
            created = _detail(usage, "cache_write_tokens", "prompt_tokens_details", "input_tokens_details")
        hour = _detail(usage, "ephemeral_1h_input_tokens", "cache_creation")
        if (tokens := _known(hour)) is not None:
            more = (_detail(one, "ephemeral_1h_input_tokens", "cache_creation") for one in self._summaries)
            hour = tokens + sum(_known(one) or 0 for one in more)
        if hour is None:
            hour = _detail(usage, "cache_write_hour_tokens", "prompt_tokens_details", "input_tokens_details")
        heard = _detail(
            usage, "audio_tokens", "prompt_tokens_details", "input_tokens_details", "input_token_details"
        )
        spoken = _detail(usage, "audio_tokens", "completion_tokens_details", "output_tokens_details")
        written = (usage.get("completion_tokens"), self._with_summaries(usage, _OUTPUT)) if output else ()
        for name in _INPUTS:
            if (count := _known(usage.get(name))) is not None:
                self._apart[name] = count
        in_summaries = sum(_known(one.get(name)) or 0 for one in self._summaries for name in _INPUTS)
        whole = sum(self._apart.values()) + in_summaries if _INPUT in self._apart else None
        self.usage = TokenUsage(
            _known(usage.get("prompt_tokens"), whole, before.input_tokens),
            _known(*written, before.output_tokens),
            _known(cached, self._with_summaries(usage, _READ), before.cached_input_tokens),
            _known(created, before.cache_write_input_tokens),
            _known(reasoning, before.reasoning_tokens),
            _known(hour, before.cache_write_hour_input_tokens),
            _known(heard, before.audio_input_tokens),
            _known(spoken, before.audio_output_tokens),
        )

    def _with_summaries(self, usage: dict[str, Any], name: str) -> int | None:
        """A count of Anthropic's with what its summaries have of it; None where it is not told."""
        count = _known(usage.get(name))
        return None if count is None else count + sum(_known(one.get(name)) or 0 for one in self._summaries)


def _known(*values: object) -> int | None:
    """The first that is a count."""
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _detail(usage: dict[str, Any], name: str, *parents: str) -> object:
    """A member of the first of these objects that has it."""
    for parent in parents:
        details = usage.get(parent)
        if isinstance(details, dict) and name in details:
            return details[name]
    return None


def _error_status(event: dict[str, Any], response: object) -> int | None:
    """The HTTP status that an event stands for if it is an error's, else None. Its message is not read."""
    error = event.get("error")
    if not isinstance(error, dict) and isinstance(response, dict):
        error = response.get("error")
    if not isinstance(error, dict):
        return 500 if event.get("type") in ("error", "response.failed") else None
    for said in (error.get("code"), error.get("type")):
        text = str(said) if isinstance(said, str | int) else ""
        status = int(text) if text.isascii() and text.isdigit() and len(text) == 3 else 0
        status = contract.STREAM_ERROR_STATUSES.get(text, status)
        if 400 <= status <= 599:
            return status
    return 500
