"""A request as a hosted provider gets it: which calls its API has, under which path, with which headers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote

import orjson

from pilotage_api.external_snapshot import ExternalSnapshot, ProviderDialect
from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_extproc.dialects.anthropic import VERSION_HEADER
from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.forms import read_form
from pilotage_extproc.dialects.splice import MODEL, string_at
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

_OPENAI: Final = frozenset(
    {
        CallKind.CHAT,
        CallKind.COMPLETIONS,
        CallKind.EMBEDDINGS,
        CallKind.RESPONSES,
        CallKind.RESPONSE_OBJECT,
        CallKind.TRANSCRIPTIONS,
        CallKind.TRANSLATIONS,
    }
)
SPOKEN: Final[Mapping[ProviderDialect, frozenset[CallKind]]] = MappingProxyType(
    {
        ProviderDialect.OPENAI: _OPENAI,
        ProviderDialect.OPENAI_CHAT: _OPENAI - {CallKind.RESPONSES, CallKind.RESPONSE_OBJECT},
        ProviderDialect.AZURE: _OPENAI,
        ProviderDialect.ANTHROPIC: frozenset({CallKind.MESSAGES, CallKind.COUNT_TOKENS}),
    }
)
"""The calls that an API has itself."""
_PLAIN_IN_PATHS: Final = "/:@!$&'()*+,;="
"""Beside letters, digits and `-._~`."""
_ANTHROPIC_VERSION: Final = "2023-06-01"
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Asked(NamedTuple):
    """A request as it reaches the provider's hop."""

    kind: CallKind
    path: str
    """Without its query."""
    body: bytes
    headers: Mapping[str, str]


class ProviderCall(NamedTuple):
    """A request as the provider is to get it."""

    path: str
    """Below the pool's prefix, from `/v1/` on."""
    kind: CallKind
    """Which call it is now."""
    body: bytes | None = None
    """The new body; None where it is as it came."""
    headers: Mapping[str, str] = NO_HEADERS
    """Further headers to set."""
    answer: Mapping[str, str] = NO_HEADERS
    """What whoever reads the answer must know, as metadata of the hop: flags and numbers, never text."""


class Translator(Protocol):
    """Makes calls of one API calls of another. Knows nothing of Envoy."""

    def translates(self, kind: CallKind, dialect: ProviderDialect) -> bool:
        """Whether a call that the dialect does not speak can be made one that it does."""

    def translate(
        self, asked: Asked, dialect: ProviderDialect, upstream_model: str, facts: ModelSnapshot | None
    ) -> ProviderCall:
        """The call as the provider's API has it. Raises RequestRefused, which names the field."""


def not_spoken(kind: CallKind, dialect: ProviderDialect) -> RequestRefused:
    """The refusal (503, so that another attempt may follow) of a call that a provider's API does not have."""
    message = f"The provider speaks {dialect}, which has no call like {kind}."
    return RequestRefused(Refusal.NO_ENDPOINTS, message)


def names_model_in_path(dialect: ProviderDialect) -> bool:
    """Whether the path of its calls holds the model."""
    return dialect is ProviderDialect.AZURE


def model_of(asked: Asked) -> str:
    """The model that a body names; empty where it names none. Raises RequestRefused (400)."""
    dialect = DIALECTS.get(asked.kind)
    if dialect is None or not asked.body:
        return ""
    if dialect.body is BodyForm.MULTIPART:
        form = read_form(asked.body, asked.headers.get("content-type", ""))
        return form.text(asked.body, "model") or ""
    try:
        return string_at(asked.body, MODEL)
    except (KeyError, orjson.JSONDecodeError):
        return ""


def target_path(external: ExternalSnapshot, call: ProviderCall, upstream_model: str) -> str:
    """The path and query that the provider is asked under. Raises RequestRefused (400) without a model.

    A call's path is decoded, and may hold the client's id of a stored response: what it says must not lead
    anywhere else, since the gateway's credential goes with it. Raises RequestRefused (404) for dot segments.
    """
    if any(segment in (".", "..") for segment in call.path.split("/")):
        raise RequestRefused(Refusal.RESPONSE_NOT_FOUND, "There is no such response.", param="response_id")
    path = quote(call.path, safe=_PLAIN_IN_PATHS)
    if external.dialect is not ProviderDialect.AZURE:
        return f"{external.path_prefix}{path}"
    version = f"?api-version={quote(external.api_version or '', safe='')}"
    below = path.removeprefix("/v1")
    if call.kind in (CallKind.RESPONSES, CallKind.RESPONSE_OBJECT):
        return f"{external.path_prefix}/openai{below}{version}"
    if not upstream_model or upstream_model in (".", ".."):
        raise RequestRefused(Refusal.MISSING_MODEL, "`model` is missing.", param="model")
    return f"{external.path_prefix}/openai/deployments/{quote(upstream_model, safe='')}{below}{version}"


def api_headers(external: ExternalSnapshot, headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that the provider's API needs, where the request lacks them."""
    if external.dialect is ProviderDialect.ANTHROPIC and VERSION_HEADER not in headers:
        return {VERSION_HEADER: _ANTHROPIC_VERSION}
    return {}
