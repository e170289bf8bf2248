"""Every way a request can be refused: one table, each with its HTTP status and OpenAI error type."""

from dataclasses import dataclass
from enum import Enum

import orjson


class Refusal(Enum):
    """Reason for an immediate response: `(http status, OpenAI error type, OpenAI error code)`."""

    BAD_JSON = (400, "invalid_request_error", "invalid_json")
    TOO_COMPLEX = (400, "invalid_request_error", "body_too_complex")
    MISSING_MODEL = (400, "invalid_request_error", "missing_model")
    MISSING_PROMPT = (400, "invalid_request_error", "missing_prompt")
    INVALID_FIELD = (400, "invalid_request_error", "invalid_field")
    UNSUPPORTED_BODY = (415, "invalid_request_error", "unsupported_media_type")
    BODY_TOO_LARGE = (413, "invalid_request_error", "body_too_large")
    UNKNOWN_PATH = (404, "invalid_request_error", "unknown_path")
    METHOD_NOT_ALLOWED = (405, "invalid_request_error", "method_not_allowed")
    MODEL_NOT_FOUND = (404, "invalid_request_error", "model_not_found")
    RESPONSE_NOT_FOUND = (404, "invalid_request_error", "response_not_found")
    SATURATED = (429, "rate_limit_error", "saturated")
    NO_ENDPOINTS = (503, "server_error", "no_endpoints")
    SUBSET_EMPTY = (503, "server_error", "no_endpoints_in_subset")
    OVERLOADED = (503, "server_error", "gateway_overloaded")
    DRAINING = (503, "server_error", "gateway_draining")
    INTERNAL = (500, "server_error", "gateway_error")

    @property
    def http_status(self) -> int:
        return int(self.value[0])

    @property
    def code(self) -> str:
        return str(self.value[2])


@dataclass(eq=False)
class RequestRefused(Exception):
    """A request that gets an immediate answer instead of an endpoint. Never holds prompt text."""

    reason: Refusal
    message: str
    param: str | None = None
    retry_after_seconds: int | None = None

    def __str__(self) -> str:
        return self.message

    def body(self) -> bytes:
        """The OpenAI error object clients turn into their typed exceptions."""
        _, kind, code = self.reason.value
        error = {"message": self.message, "type": kind, "param": self.param, "code": code}
        return orjson.dumps({"error": error})
