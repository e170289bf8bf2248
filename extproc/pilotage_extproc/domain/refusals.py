"""Every way a request can be refused: one table, each with its HTTP status and OpenAI error type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final

import orjson


class ErrorShape(StrEnum):
    """Whose error object a client expects."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Refusal(Enum):
    """Reason for an immediate response: `(http status, OpenAI error type, OpenAI error code)`."""

    BAD_JSON = (400, "invalid_request_error", "invalid_json")
    BAD_FORM = (400, "invalid_request_error", "invalid_form")
    TOO_COMPLEX = (400, "invalid_request_error", "body_too_complex")
    CONTENT_BLOCKED = (400, "invalid_request_error", "content_blocked")
    CONTENT_NOT_CHECKED = (400, "invalid_request_error", "content_not_checked")
    ANSWER_NOT_CHECKED = (502, "server_error", "answer_not_checked")
    PROVIDER_REFUSED_CREDENTIALS = (502, "server_error", "provider_refused_credentials")
    TOOL_NOT_ALLOWED = (400, "invalid_request_error", "tool_not_allowed")
    MISSING_MODEL = (400, "invalid_request_error", "missing_model")
    MISSING_PROMPT = (400, "invalid_request_error", "missing_prompt")
    INVALID_FIELD = (400, "invalid_request_error", "invalid_field")
    NOT_TRANSLATABLE = (400, "invalid_request_error", "not_translatable")
    UNSUPPORTED_BODY = (415, "invalid_request_error", "unsupported_media_type")
    BODY_TOO_LARGE = (413, "invalid_request_error", "body_too_large")
    UNKNOWN_PATH = (404, "invalid_request_error", "unknown_path")
    METHOD_NOT_ALLOWED = (405, "invalid_request_error", "method_not_allowed")
    MODEL_NOT_FOUND = (404, "invalid_request_error", "model_not_found")
    NO_RULE_MATCHED = (404, "invalid_request_error", "no_rule_matched")
    RESPONSE_NOT_FOUND = (404, "invalid_request_error", "response_not_found")
    UNAUTHENTICATED = (401, "invalid_request_error", "invalid_api_key")
    UNKNOWN_TENANT = (403, "permission_error", "unknown_tenant")
    UNKNOWN_TEAM = (403, "permission_error", "unknown_team")
    NO_POLICY = (403, "permission_error", "no_policy")
    NOT_GOVERNED = (403, "permission_error", "governance_outranked")
    IDENTITY_AWAY = (503, "server_error", "identity_unavailable")
    SATURATED = (429, "rate_limit_error", "saturated")
    QUEUE_FULL = (429, "rate_limit_error", "queue_full")
    RATE_LIMITED = (429, "rate_limit_error", "rate_limit_exceeded")
    BUDGET_SPENT = (429, "insufficient_quota", "insufficient_quota")
    COST_NOT_BOUNDED = (400, "invalid_request_error", "cost_not_bounded")
    NOT_ISOLATED = (400, "invalid_request_error", "not_isolated")
    LIMITS_AWAY = (503, "server_error", "limits_unavailable")
    GUARD_AWAY = (503, "server_error", "guard_unavailable")
    NO_ENDPOINTS = (503, "server_error", "no_endpoints")
    SUBSET_EMPTY = (503, "server_error", "no_endpoints_in_subset")
    OUT_OF_BOUNDS = (503, "server_error", "no_candidate_within_bounds")
    QUEUE_TIMEOUT = (503, "server_error", "queue_timeout")
    OVERLOADED = (503, "server_error", "gateway_overloaded")
    DRAINING = (503, "server_error", "gateway_draining")
    INTERNAL = (500, "server_error", "gateway_error")

    @property
    def http_status(self) -> int:
        return int(self.value[0])

    @property
    def code(self) -> str:
        return str(self.value[2])


ANTHROPIC_ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By HTTP status (https://docs.anthropic.com/en/api/errors)."""


def anthropic_error_type(http_status: int) -> str:
    """The `error.type` of a status: its own, else that of its class."""
    of_class = "api_error" if http_status >= 500 else "invalid_request_error"
    return ANTHROPIC_ERROR_TYPES.get(http_status, of_class)


@dataclass(eq=False)
class RequestRefused(Exception):
    """A request that gets an immediate answer instead of an endpoint. Never holds prompt text."""

    reason: Refusal
    message: str
    param: str | None = None
    retry_after_seconds: int | None = None
    allow: tuple[str, ...] = ()
    """Methods the path does take; for 405."""
    more_headers: Mapping[str, str] = field(default_factory=dict)
    """Further response headers."""

    def __str__(self) -> str:
        return self.message

    def headers(self) -> dict[str, str]:
        """Response headers beside the content type."""
        headers = dict(self.more_headers)
        if self.retry_after_seconds is not None:
            headers["retry-after"] = str(self.retry_after_seconds)
        if self.allow:
            headers["allow"] = ", ".join(self.allow)
        return headers

    def body(self, shape: ErrorShape = ErrorShape.OPENAI, request_id: str | None = None) -> bytes:
        """The error object that the API's clients turn into their typed exceptions."""
        status, kind, code = self.reason.value
        if shape is ErrorShape.OPENAI:
            error = {"message": self.message, "type": kind, "param": self.param, "code": code}
            return orjson.dumps({"error": error})
        told: dict[str, Any] = {
            "type": "error",
            "error": {"type": anthropic_error_type(status), "message": self.message},
        }
        if request_id:
            told["request_id"] = request_id
        return orjson.dumps(told)
