"""Envoy's own errors, shaped as OpenAI error objects: client libraries raise their typed exceptions."""

from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter

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


def local_reply_config() -> Fields:
    """Mappers by status; answers that are extproc's own pass unchanged."""
    return {
        "mappers": [
            {
                "filter": _cel(f'response.code_details.startsWith("{names.OWN_ANSWER_DETAILS}")'),
                "bodyFormatOverride": {
                    "textFormatSource": {"inlineString": "%LOCAL_REPLY_BODY%"},
                    "contentType": "application/json",
                },
            },
            *(_mapper(status) for status in _ERRORS),
        ]
    }


def _mapper(status: int) -> Fields:
    message, kind, code = _ERRORS[status]
    mapper: Fields = {
        "filter": {
            "statusCodeFilter": {
                "comparison": {
                    "op": "EQ",
                    "value": {"defaultValue": status, "runtimeKey": f"pilotage.{status}"},
                }
            }
        },
        "bodyFormatOverride": {
            "jsonFormat": {"error": {"message": message, "type": kind, "param": None, "code": code}},
            "contentType": "application/json",
        },
    }
    if status in _RETRY_AFTER_SECONDS:
        header = {"key": "retry-after", "value": str(_RETRY_AFTER_SECONDS[status])}
        mapper["headersToAdd"] = [{"header": header, "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    return mapper


def _cel(expression: str) -> Fields:
    return {
        "extensionFilter": extension(
            "envoy.access_loggers.extension_filters.cel", ExpressionFilter, {"expression": expression}
        )
    }
