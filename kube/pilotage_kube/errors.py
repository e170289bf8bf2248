"""What can go wrong between this process and an API server, as types."""

from typing import Any

import orjson

_MAX_SHOWN = 400
_MAX_RETRY_AFTER_SECONDS = 60.0


class KubeError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigurationError(KubeError):
    """The kubeconfig or the pod's service account cannot be used; the message names the file and the fix."""


class Unreachable(KubeError):
    """No answer: refused, cut, timed out, or TLS failed."""


class InvalidResponse(KubeError):
    """An answer came that is not what an API server says."""


class ApiError(KubeError):
    """The API server refused."""

    def __init__(self, status: int, reason: str, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        """HTTP status."""
        self.reason = reason
        """One word for machines, such as `AlreadyExists`; may be empty."""
        self.message = message
        """For people."""
        self.retry_after_seconds = retry_after_seconds
        """How long the server asks to be left alone; 0 where it does not say."""


class Invalid(ApiError):
    """400 or 422: the object or the request is wrong and stays wrong."""


class Unauthorized(ApiError):
    """401: the credentials are not accepted."""


class Forbidden(ApiError):
    """403: RBAC or an admission rule does not allow it."""


class NotFound(ApiError):
    """404: no such object, or no such resource type."""


class Conflict(ApiError):
    """409: the object has changed since it was read."""


class AlreadyExists(Conflict):
    """409: an object of that name is there."""


class Gone(ApiError):
    """410: the resource version or continue token is too old; list anew."""


class TooManyRequests(ApiError):
    """429: the server sheds load."""


class ServerError(ApiError):
    """5xx: the server could not; the same request may work later."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def api_error(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that a response stands for; a body that is no `Status` object is quoted, cut short."""
    reason, message = "", body[:_MAX_SHOWN].decode(errors="replace").strip()
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, dict) and told.get("kind") == "Status":
        return status_error(told, status, _seconds(retry_after))
    return _kind(status, reason)(status, reason, message or "no message", _seconds(retry_after))


def status_error(told: dict[str, Any], status: int = 0, retry_after_seconds: float = 0.0) -> ApiError:
    """The error that a `Status` object stands for, as in a watch's ERROR event."""
    code = told.get("code")
    status = code if isinstance(code, int) and code else status or 500
    reason = str(told.get("reason") or "")
    details = told.get("details")
    if not retry_after_seconds and isinstance(details, dict):
        retry_after_seconds = _seconds(str(details.get("retryAfterSeconds") or ""))
    return _kind(status, reason)(
        status, reason, str(told.get("message") or "no message"), retry_after_seconds
    )


def _kind(status: int, reason: str) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    if reason == "Expired":
        return Gone
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        return 0.0
    return min(seconds, _MAX_RETRY_AFTER_SECONDS) if seconds > 0 else 0.0
