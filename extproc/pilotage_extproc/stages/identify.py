"""Which call a request is, from its method and path alone."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

INFERENCE_PATHS = {
    "/v1/chat/completions": CallKind.CHAT,
    "/v1/completions": CallKind.COMPLETIONS,
    "/v1/embeddings": CallKind.EMBEDDINGS,
    "/v1/responses": CallKind.RESPONSES,
    "/v1/messages": CallKind.MESSAGES,
}
_RESPONSE_OBJECT = re.compile(r"/v1/responses/(?P<id>[^/]+)(?P<rest>/cancel|/input_items)?")
_MAX_ID_LENGTH = 256


@dataclass(slots=True, frozen=True)
class Identity:
    """What a request's method and path say of it."""

    kind: CallKind
    path: str
    """Without its query, as routed on."""
    response_id: str | None = None


def identify(method: str, target: str) -> Identity:
    """Identify a call. Raises RequestRefused (405) for our paths with another method.

    Paths are matched as the model server will see them, so that no spelling of a path slips past
    the policies of its call: percent-encoded characters, slashes too, are decoded once for matching,
    and what follows a `#` is not part of a path. Dot segments and doubled slashes are not resolved,
    since Envoy already has (its path normalisation) or the server will not.
    """
    path = target.partition("?")[0]
    kind = INFERENCE_PATHS.get(path)
    if kind is None:
        path = path.partition("#")[0]
        path = unquote(path) if "%" in path else path
        if len(path) > 1 and path.endswith("/"):
            path = path.rstrip("/")
        kind = INFERENCE_PATHS.get(path)
    if kind is not None:
        if method != "POST":
            raise _not_allowed(method, path, "POST")
        return Identity(kind, path)
    if path == "/v1/models":
        if method not in ("GET", "HEAD"):
            raise _not_allowed(method, path, "GET")
        return Identity(CallKind.MODELS, path)
    match = _RESPONSE_OBJECT.fullmatch(path)
    if match is None or len(match["id"]) > _MAX_ID_LENGTH:
        return Identity(CallKind.OTHER, path)
    allowed = {"/cancel": ("POST",), "/input_items": ("GET",), None: ("GET", "DELETE")}[match["rest"]]
    if method not in allowed:
        raise _not_allowed(method, path, " or ".join(allowed))
    return Identity(CallKind.RESPONSE_OBJECT, path, match["id"])


def _not_allowed(method: str, path: str, allowed: str) -> RequestRefused:
    return RequestRefused(Refusal.METHOD_NOT_ALLOWED, f"{method[:16]} {path[:100]}: use {allowed}.")
