"""Which call a request is, from its method, path and headers alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from pilotage_extproc.dialects.call import BodyForm, Dialect
from pilotage_extproc.dialects.table import BY_PATH
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.stages.content_coding import is_identity

_RESPONSE_OBJECT = re.compile(r"/v1/responses/(?P<id>[^/]+)(?P<rest>/cancel|/input_items)?")
_RESPONSE_ID: Final = "resp_"
"""How ids of responses begin; what else is posted under `/v1/responses/` is a call of its own."""
_MAX_ID_LENGTH = 256
_MODELS: Final = "/v1/models"
_OPTIONS: Final = "OPTIONS"


@dataclass(slots=True, frozen=True)
class Identity:
    """What a request's method and path say of it."""

    kind: CallKind
    path: str
    """Without its query, as routed on."""
    response_id: str | None = None
    model_id: str | None = None
    """Of `GET /v1/models/{id}`."""
    dialect: Dialect | None = None
    """Of a call that is read and decided on."""
    allow: tuple[str, ...] = ()
    """Methods the path takes; for OPTIONS."""


def identify(method: str, target: str) -> Identity:
    """Identify a call. Raises RequestRefused (405) for our paths with another method.

    Paths are matched as the model server will see them, so that no spelling of a path slips past
    the policies of its call: percent-encoded characters, slashes too, are decoded once for matching,
    and what follows a `#` is not part of a path. Dot segments and doubled slashes are not resolved,
    since Envoy already has (its path normalisation) or the server will not.
    """
    path = target.partition("?")[0]
    dialect = BY_PATH.get(path)
    if dialect is None:
        path = path.partition("#")[0]
        path = unquote(path) if "%" in path else path
        if len(path) > 1 and path.endswith("/"):
            path = path.rstrip("/")
        dialect = BY_PATH.get(path)
    if dialect is not None:
        if method == dialect.method:
            return Identity(dialect.kind, path, dialect=dialect)
        return _other_method(method, path, (dialect.method,))
    if path == _MODELS:
        identity = Identity(CallKind.MODELS, path)
        return identity if method in _READ else _other_method(method, path, _READ)
    if path.startswith(f"{_MODELS}/"):
        identity = Identity(CallKind.MODEL, path, model_id=path[len(_MODELS) + 1 :])
        return identity if method in _READ else _other_method(method, path, _READ)
    return _response_object(method, path)


_READ: Final = ("GET", "HEAD")


def _response_object(method: str, path: str) -> Identity:
    match = _RESPONSE_OBJECT.fullmatch(path)
    if match is None or len(match["id"]) > _MAX_ID_LENGTH:
        return Identity(CallKind.OTHER, path)
    allowed = {"/cancel": ("POST",), "/input_items": ("GET",), None: ("GET", "DELETE")}[match["rest"]]
    if method in allowed:
        return Identity(CallKind.RESPONSE_OBJECT, path, match["id"])
    if match["rest"] is None and not match["id"].startswith(_RESPONSE_ID):
        return Identity(CallKind.OTHER, path)  # such as POST /v1/responses/compact
    return _other_method(method, path, allowed)


def _other_method(method: str, path: str, allowed: tuple[str, ...]) -> Identity:
    allow = (*allowed, _OPTIONS)
    if method == _OPTIONS:
        return Identity(CallKind.OPTIONS, path, allow=allow)
    message = f"{method[:16]} {path[:100]}: use {' or '.join(allowed)}."
    raise RequestRefused(Refusal.METHOD_NOT_ALLOWED, message, allow=allow)


def unread_because(dialect: Dialect, headers: Mapping[str, str]) -> str | None:
    """Why a body cannot be read by what its headers say of it, and the fix; None where it can be.

    A JSON body may come without a content type, as clients of model servers send it.
    """
    content_type = headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if dialect.body is BodyForm.MULTIPART:
        if media_type != "multipart/form-data":
            return f"content-type must be multipart/form-data, not {content_type[:100]!r}."
    elif content_type and "json" not in media_type:
        return f"content-type must be application/json, not {content_type[:100]!r}."
    coding = headers.get("content-encoding", "")
    if not is_identity(coding):
        return f"The body must be sent without content-encoding, not as {coding[:100]!r}."
    return None
