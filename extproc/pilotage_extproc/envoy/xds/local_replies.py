"""Envoy's own errors, shaped as the client's API has them: client libraries raise their typed exceptions."""

from collections.abc import Mapping

from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter

from pilotage_extproc.dialects.anthropic import VERSION_HEADER
from pilotage_extproc.dialects.table import ANTHROPIC_PREFIX, SHARED_PATH
from pilotage_extproc.dialects.translation.answers import ANSWER_AS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import anthropic_error_type
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields, extension

_ERRORS = {
    400: ("The request is malformed.", "invalid_request_error", "bad_request"),
    403: (
        "A connection cannot be upgraded here: ask over plain HTTP.",
        "invalid_request_error",
        "upgrade_refused",
    ),
    404: ("This path is not served.", "invalid_request_error", "unknown_path"),
    408: ("The request took too long to arrive.", "invalid_request_error", "request_timeout"),
    413: (
        "The request body is larger than this gateway accepts.",
        "invalid_request_error",
        "body_too_large",
    ),
    431: ("The request headers are too large.", "invalid_request_error", "headers_too_large"),
    500: ("The gateway could not ask where to send this request.", "server_error", "picker_unavailable"),
    502: ("The model server broke off, or its answer was invalid.", "server_error", "bad_gateway"),
    503: ("No model server could be reached.", "server_error", "upstream_unavailable"),
    504: ("The gateway or the model server did not answer in time.", "server_error", "timeout"),
}
_RETRY_AFTER_SECONDS = {500: 1, 502: 1, 503: 1, 504: 1}
_AT_PROVIDERS = (413, 500, 502, 503, 504)
_NOTHING_SENT = ("UF", "UH", "UO", "NC")
"""Not connected (a certificate that is wrong too), no address, no connection free, no cluster."""
_ANSWERED_AS = f'metadata.filter_metadata["{names.PROVIDER_NAMESPACE}"]["{ANSWER_AS}"]'


def local_reply_config() -> Fields:
    """Mappers by status; answers that are extproc's own pass unchanged."""
    return {
        "mappers": [
            _own_answers(),
            *(
                _mapper(_both(_anthropic_client(), _is(status)), _anthropic(status), _retry_after(status))
                for status in _ERRORS
            ),
            *(_mapper(_is(status), _openai(status), _retry_after(status)) for status in _ERRORS),
        ]
    }


def provider_reply_config() -> Fields:
    """The same at a provider's hop, whose answers are to the first hop what a server answers.

    Where nothing was sent a header says so: the first hop goes on to the next of the list, whatever leads on.
    They are shaped as the client has it: the answer's script may have ended before them.
    """
    by_client = (
        (_cel(f'{_ANSWERED_AS} == "{CallKind.MESSAGES}"'), _anthropic),
        (_cel(f'{_ANSWERED_AS} != "{CallKind.MESSAGES}"'), _openai),
        (_under(f"(/.*)?{ANTHROPIC_PREFIX}"), _anthropic),
    )
    not_sent = {"responseFlagFilter": {"flags": list(_NOTHING_SENT)}}
    mappers: list[Fields] = [_own_answers()]
    for status, more, headers in (
        (503, (not_sent,), {names.TRY_NEXT: names.UNREACHABLE}),
        *((status, (), {}) for status in _AT_PROVIDERS),
    ):
        mappers += [
            _mapper(_all(_is(status), *more, client), body(status), headers) for client, body in by_client
        ]
        mappers.append(_mapper(_all(_is(status), *more), _openai(status), headers))
    return {"mappers": mappers}


def _mapper(access_filter: Fields, body: Fields, headers: Mapping[str, str]) -> Fields:
    mapper: Fields = {
        "filter": access_filter,
        "bodyFormatOverride": {"jsonFormat": body, "contentType": "application/json"},
    }
    if headers:
        mapper["headersToAdd"] = [
            {"header": {"key": name, "value": value}, "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in headers.items()
        ]
    return mapper


def _retry_after(status: int) -> dict[str, str]:
    seconds = _RETRY_AFTER_SECONDS.get(status)
    return {} if seconds is None else {"retry-after": str(seconds)}


def _openai(status: int) -> Fields:
    message, kind, code = _ERRORS[status]
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic(status: int) -> Fields:
    error = {"type": anthropic_error_type(status), "message": _ERRORS[status][0]}
    return {"type": "error", "error": error, "request_id": "%REQ(X-REQUEST-ID)%"}


def _is(status: int) -> Fields:
    value = {"defaultValue": status, "runtimeKey": f"pilotage.{status}"}
    return {"statusCodeFilter": {"comparison": {"op": "EQ", "value": value}}}


def _anthropic_client() -> Fields:
    """As `dialects.table.error_shape` decides, by the path as it came."""
    by_version = {"headerFilter": {"header": {"name": VERSION_HEADER, "presentMatch": True}}}
    return {"orFilter": {"filters": [_under(ANTHROPIC_PREFIX), _both(_under(SHARED_PATH), by_version)]}}


def _under(prefix: str) -> Fields:
    matcher = {"name": ":path", "stringMatch": {"safeRegex": {"regex": f"{prefix}([/?#].*)?"}}}
    return {"headerFilter": {"header": matcher}}


def _both(one: Fields, other: Fields) -> Fields:
    return {"andFilter": {"filters": [one, other]}}


def _all(*filters: Fields) -> Fields:
    return filters[0] if len(filters) == 1 else {"andFilter": {"filters": list(filters)}}


def _cel(expression: str) -> Fields:
    return {
        "extensionFilter": extension(
            "envoy.access_loggers.extension_filters.cel", ExpressionFilter, {"expression": expression}
        )
    }


def _own_answers() -> Fields:
    return {
        "filter": _cel(f'response.code_details.startsWith("{names.OWN_ANSWER_DETAILS}")'),
        "bodyFormatOverride": {
            "textFormatSource": {"inlineString": "%LOCAL_REPLY_BODY%"},
            "contentType": "application/json",
        },
    }
