"""Identifying a call by method and path."""

import pytest

from pilotage_extproc.dialects.table import CALLS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.stages.identify import identify, unread_because

ALL = [(call, path) for call in CALLS for path in call.paths]


def allowed(method: str, target: str) -> tuple[str, ...]:
    with pytest.raises(RequestRefused) as refused:
        identify(method, target)
    assert refused.value.reason is Refusal.METHOD_NOT_ALLOWED
    return refused.value.allow


@pytest.mark.parametrize(("call", "path"), ALL, ids=lambda value: value if isinstance(value, str) else "")
def test_every_path_of_the_table_is_its_call_however_it_is_spelt(call, path):
    for spelt in (path, f"{path}/", f"{path}?a=1", path[:3] + path[3:].replace("/", "%2F"), f"{path}#x"):
        identity = identify("POST", spelt)
        assert (identity.kind, identity.path, identity.dialect) == (call.kind, path, call)


def test_no_two_calls_share_a_path_or_kind():
    assert len({path for _, path in ALL}) == len(ALL)
    assert len({call.kind for call in CALLS}) == len(CALLS)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "BREW"])
def test_another_method_is_refused_with_those_the_path_takes(method):
    assert allowed(method, "/v1/chat/completions") == ("POST", "OPTIONS")


def test_models_are_read_by_get_and_head_alone():
    assert identify("HEAD", "/v1/models").kind is CallKind.MODELS
    assert allowed("POST", "/v1/models") == ("GET", "HEAD", "OPTIONS")
    assert allowed("DELETE", "/v1/models/small") == ("GET", "HEAD", "OPTIONS")


@pytest.mark.parametrize("target", ["/v1/models/org%2Fname", "/v1/models/org/name", "/v1/models/org/name/?x"])
def test_a_model_is_asked_for_by_a_name_that_may_have_slashes(target):
    identity = identify("GET", target)
    assert (identity.kind, identity.model_id) == (CallKind.MODEL, "org/name")


@pytest.mark.parametrize(
    ("target", "methods"),
    [
        ("/v1/messages", ("POST", "OPTIONS")),
        ("/v1/models", ("GET", "HEAD", "OPTIONS")),
        ("/v1/responses/resp_1", ("GET", "DELETE", "OPTIONS")),
        ("/v1/responses/resp_1/cancel", ("POST", "OPTIONS")),
    ],
)
def test_options_are_told_and_not_forwarded(target, methods):
    identity = identify("OPTIONS", target)
    assert (identity.kind, identity.allow) == (CallKind.OPTIONS, methods)


def test_calls_on_a_stored_response_are_by_its_id():
    for method, target in (("GET", "/v1/responses/resp_1"), ("POST", "/v1/responses/resp_1/cancel")):
        identity = identify(method, target)
        assert (identity.kind, identity.response_id) == (CallKind.RESPONSE_OBJECT, "resp_1")
    assert allowed("POST", "/v1/responses/resp_1") == ("GET", "DELETE", "OPTIONS")


@pytest.mark.parametrize(
    "target", ["/v1/responses/compact", "/v1/responses/input_tokens", "/v1/responses/a/b"]
)
def test_other_calls_under_responses_are_none_of_the_table(target):
    assert identify("POST", target).kind is CallKind.OTHER


def dialect(kind: CallKind):
    return next(call for call in CALLS if call.kind is kind)


@pytest.mark.parametrize(
    ("kind", "headers", "told"),
    [
        (CallKind.CHAT, {}, None),
        (CallKind.CHAT, {"content-type": "application/json; charset=utf-8"}, None),
        (CallKind.CHAT, {"content-type": "multipart/form-data; boundary=x"}, "application/json"),
        (CallKind.CHAT, {"content-encoding": "Identity"}, None),
        (CallKind.CHAT, {"content-encoding": "gzip"}, "content-encoding"),
        (CallKind.TRANSCRIPTIONS, {"content-type": "Multipart/Form-Data; boundary=x"}, None),
        (CallKind.TRANSCRIPTIONS, {"content-type": "application/json"}, "multipart/form-data"),
        (CallKind.TRANSCRIPTIONS, {"content-type": "multipart/mixed; boundary=x"}, "multipart/form-data"),
        (CallKind.TRANSCRIPTIONS, {}, "multipart/form-data"),
    ],
)
def test_a_body_that_is_not_what_its_call_takes_says_what_to_send(kind, headers, told):
    why = unread_because(dialect(kind), headers)
    assert why is None if told is None else told in why
