"""Ending an Envoy without ending requests: asked to stop by its admin address, watched until it is idle."""

import json
import time
import urllib.request
from collections.abc import Callable

_ACTIVE = "http.gateway.downstream_rq_active"
_POLL_SECONDS = 0.25
_CALL_SECONDS = 5.0
_STARTING_SECONDS = 30.0


class DrainError(RuntimeError):
    """Envoy's admin address does not answer; the message names it."""


def drain(
    admin: str,
    *,
    notice_seconds: float,
    longest_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Fail readiness, wait for balancers to notice, then for requests under way; how many are left.

    Requests that come meanwhile are served, each with the word that its connection ends. Raises DrainError.
    """
    _fail_readiness(admin, clock, sleep)
    sleep(notice_seconds)
    until = clock() + longest_seconds
    while True:
        active = _requests_under_way(admin)
        if active == 0 or clock() >= until:
            return active
        sleep(_POLL_SECONDS)


def _fail_readiness(admin: str, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    """Also of an Envoy that has only just begun to start.

    As the first process of a container it would be deaf to SIGTERM until it listens for it, which it does
    before its admin address answers: a pod told to end that early would live to the end of its grace.
    """
    until = clock() + _STARTING_SECONDS
    while True:
        try:
            _call(admin, "POST", "/healthcheck/fail")
            return
        except DrainError:
            if clock() >= until:
                raise
        sleep(_POLL_SECONDS)


def _requests_under_way(admin: str) -> int:
    told = json.loads(_call(admin, "GET", f"/stats?format=json&filter=^{_ACTIVE.replace('.', '%5C.')}$"))
    return int(next((one["value"] for one in told["stats"] if one.get("name") == _ACTIVE), 0))


def _call(admin: str, method: str, path: str) -> bytes:
    request = urllib.request.Request(f"http://{admin}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as answer:  # noqa: S310
            body: bytes = answer.read()
            return body
    except OSError as error:
        raise DrainError(f"Envoy's admin address {admin} does not answer: {error}") from None
