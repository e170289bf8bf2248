"""Refusals of an API server become typed errors."""

import pytest

from pilotage_kube import errors


def status(code: int, reason: str, **details: object) -> bytes:
    import orjson

    told = {"kind": "Status", "code": code, "reason": reason, "message": "why", "details": details}
    return orjson.dumps(told)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.Invalid),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Gone),
        (410, "Gone", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (503, "ServiceUnavailable", errors.ServerError),
        (418, "Teapot", errors.ApiError),
    ],
)
def test_each_refusal_has_its_type(code, reason, kind):
    error = errors.api_error(code, status(code, reason))
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (code, reason, "why")


@pytest.mark.parametrize(
    ("header", "details", "seconds"), [("3", {}, 3), (None, {"retryAfterSeconds": 2}, 2)]
)
def test_a_server_that_asks_for_patience_is_heard(header, details, seconds):
    error = errors.api_error(429, status(429, "TooManyRequests", **details), header)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize("header", ["soon", "-5", "1e9", "nan"])
def test_nonsense_about_patience_is_bounded(header):
    assert 0 <= errors.api_error(503, b"", header).retry_after_seconds <= 60


@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b"[]", b"\xff\xfe", b'{"kind":"Other"}'])
def test_a_proxys_own_words_are_quoted_and_cut_short(body):
    error = errors.api_error(502, body * 1000)
    assert type(error) is errors.ServerError
    assert len(str(error)) < 500
