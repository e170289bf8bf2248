"""Token usage out of a response that passes through ext_proc, for gateways whose Envoy cannot extract it.

Server-sent events are cut anywhere by the network: lines are put together again before they are
read, and only lines that may hold usage or an id are parsed.
"""

from typing import Any

import orjson

from pilotage_extproc.domain.outcome import TokenUsage

_MAX_LINE_BYTES = 1 << 20
_MAX_JSON_BYTES = 8 << 20
_RESPONSE_OBJECT = "response"


class ResponseReader:
    """Reads one response's body, chunk by chunk. Bounded: what is too long to hold is unknown, not wrong."""

    def __init__(self, *, event_stream: bool) -> None:
        self.usage = TokenUsage()
        self.response_id: str | None = None
        self._event_stream = event_stream
        self._held = bytearray()
        self._skip_line = False
        self._overflow = False
        self._apart: dict[str, int] = {}
        """Anthropic counts tokens that came from its cache, or went there, apart from the other input."""

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
        if b'"usage"' in line or (self.response_id is None and b'"response"' in line):
            self._read_object(line[5:].strip())

    def _read_object(self, text: bytes) -> None:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        if not isinstance(value, dict):
            return
        self._take_usage(value.get("usage"))
        for key in ("message", "response"):  # Anthropic's message_start, Responses' events
            inner = value.get(key)
            if isinstance(inner, dict):
                self._take_usage(inner.get("usage"))
                self._take_id(inner)
        self._take_id(value)

    def _take_id(self, value: dict[str, Any]) -> None:
        found = value.get("id")
        if value.get("object") == _RESPONSE_OBJECT and isinstance(found, str):
            self.response_id = found

    def _take_usage(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            if (count := _known(usage.get(name))) is not None:
                self._apart[name] = count
        whole = sum(self._apart.values()) if "input_tokens" in self._apart else None
        self.usage = TokenUsage(
            input_tokens=_known(usage.get("prompt_tokens"), whole, self.usage.input_tokens),
            output_tokens=_known(
                usage.get("completion_tokens"), usage.get("output_tokens"), self.usage.output_tokens
            ),
            cached_input_tokens=_known(
                cached, usage.get("cache_read_input_tokens"), self.usage.cached_input_tokens
            ),
        )


def _known(*values: object) -> int | None:
    """The first that is a count."""
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
