"""A provider's hop: the request made the provider's, for one attempt alone.

An ext_proc filter of the provider's own listener inside Envoy asks here. By then the body names the upstream
model, as the pick or the rewriter of later attempts wrote it, so nothing of the pick is needed: the pool is
told by the listener, the call by its path. What is done here no other attempt sees.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2

from pilotage_api.external_snapshot import ExternalSnapshot
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.dialects.provider_call import (
    NO_HEADERS,
    SPOKEN,
    Asked,
    ProviderCall,
    Translator,
    api_headers,
    model_of,
    names_model_in_path,
    target_path,
)
from pilotage_extproc.dialects.table import error_shape
from pilotage_extproc.dialects.transform.moved import read_moved
from pilotage_extproc.dialects.translation import answers
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.stages.identify import Identity, identify
from pilotage_extproc.transport.contract import Stream

log = logging.getLogger(__name__)

PASSED_HEADERS: Final = frozenset(
    {
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-length",
        "content-type",
        "openai-beta",
        "user-agent",
    }
)
"""Of the client's headers those that a provider gets. Credentials and cookies are never among them."""
_NOT_ASKED: Final[Mapping[str, str]] = MappingProxyType(
    {names.TRY_NEXT: names.FLAG, names.NOT_ASKED: names.FLAG}
)
"""Headers of the answer for a provider that cannot be asked what a request says."""
_LONG_BODY_BYTES: Final = 1 << 20
_MANY_OBJECTS: Final = 1000
_NOT_OURS: Final = ("host", "transfer-encoding")
"""Envoy's own, which it sets anew for the provider."""


class ProviderHop:
    """Serves the streams of providers' hops."""

    def __init__(self, pool_of: Callable[[str], PoolSnapshot | None], translator: Translator) -> None:
        """`pool_of` gives the pool that a listener is for, as it is now."""
        self._pool_of = pool_of
        self._translator = translator

    async def process(self, stream: Stream) -> None:
        """One attempt's stream: head, then body where that is needed."""
        headers: Mapping[str, str] = {}
        try:
            raw = await stream.read()
            if raw is None:
                return
            message = messages.read_message(raw)
            if not message.HasField("request_headers"):
                log.warning("a provider's stream did not begin with request headers")
                return
            headers = messages.header_map(message.request_headers.headers.headers)
            await self._serve(stream, headers, has_body=not message.request_headers.end_of_stream)
        except RequestRefused as found:
            refused = _as_its_client_counts(found, headers.get(names.MOVED_HEADER, ""))
            shape = error_shape(headers.get(":path", ""), headers)
            # a provider that cannot be asked this leaves it to the next of the list
            more = _NOT_ASKED if refused.reason is Refusal.NOT_TRANSLATABLE else None
            await stream.write(messages.refusal(refused, shape, headers.get(names.REQUEST_ID), more))

    async def _serve(self, stream: Stream, headers: Mapping[str, str], *, has_body: bool) -> None:
        pool = self._pool_of(stream.invocation_metadata().get(names.PROVIDER_HEADER, ""))
        if pool is None or pool.external is None:
            message = "The provider is not part of the gateway's configuration any more."
            raise RequestRefused(Refusal.OVERLOADED, message, retry_after_seconds=1)
        identity = identify(headers.get(":method", ""), headers.get(":path", ""))
        spoken = identity.kind in SPOKEN[pool.external.dialect]
        if not has_body or (spoken and not names_model_in_path(pool.external.dialect)):
            asked = Asked(identity.kind, identity.path, b"", headers)
            call = self._call(asked, pool, spoken=spoken)
            await stream.write(_answer(asked, call, pool.external, call_model=""))
            return
        await stream.write(messages.CONTINUE_ATTEMPT_HEADERS)
        raw = await stream.read()
        if raw is None:
            return
        body = messages.read_message(raw).request_body.body
        work = partial(self._with_body, identity, body, headers, pool, pool.external, spoken=spoken)
        # beside the loop, which would be away for a second
        await stream.write(await asyncio.to_thread(work) if not spoken and _takes_long(body) else work())

    def _with_body(
        self,
        identity: Identity,
        body: bytes,
        headers: Mapping[str, str],
        pool: PoolSnapshot,
        external: ExternalSnapshot,
        *,
        spoken: bool,
    ) -> bytes:
        asked = Asked(identity.kind, identity.path, body, headers)
        call = self._call(asked, pool, spoken=spoken)
        return _answer(asked, call, external, call_model=model_of(asked), on_body=True)

    def _call(self, asked: Asked, pool: PoolSnapshot, *, spoken: bool) -> ProviderCall:
        if spoken:
            moved = asked.headers.get(names.MOVED_HEADER, "")
            return ProviderCall(
                asked.path, asked.kind, answer={answers.MOVED: moved} if moved else NO_HEADERS
            )
        assert pool.external is not None
        model = model_of(asked)
        return self._translator.translate(asked, pool.external.dialect, model, pool.facts_of(model))


def _as_its_client_counts(refused: RequestRefused, moved: str) -> RequestRefused:
    """The refusal with the place that the field has in the client's own body."""
    own = refused.param
    if not moved or own is None:
        return refused
    for one in read_moved(moved):
        own = one.own(own)
    message = refused.message.replace(f"`{refused.param}`", f"`{own}`")
    return replace(refused, param=own, message=message)


def _takes_long(body: bytes) -> bool:
    """Whether a translation takes more than some milliseconds: about 10 µs a part, 5 ms a megabyte."""
    return len(body) > _LONG_BODY_BYTES or body.count(b"{") > _MANY_OBJECTS


def _answer(
    asked: Asked, call: ProviderCall, external: ExternalSnapshot, *, call_model: str, on_body: bool = False
) -> bytes:
    response = ext_proc_pb2.ProcessingResponse()
    common = (response.request_body if on_body else response.request_headers).response
    mutation = common.header_mutation
    set_headers = {
        **api_headers(external, asked.headers),
        **call.headers,
        ":path": target_path(external, call, call_model),
    }
    if call.body is not None:
        common.body_mutation.body = call.body
        set_headers["content-length"] = str(len(call.body))
    mutation.remove_headers.extend(_unwanted(asked.headers, set_headers))
    for name, value in set_headers.items():
        option = mutation.set_headers.add(append_action=messages.OVERWRITE)
        option.header.key = name
        option.header.raw_value = value.encode()
    if not on_body:
        # the body is not needed: it goes to the provider without a copy coming here
        mode = processing_mode_pb2.ProcessingMode
        response.mode_override.request_header_mode = mode.SEND
        response.mode_override.request_body_mode = mode.NONE
        response.mode_override.response_header_mode = mode.SKIP
        response.mode_override.response_body_mode = mode.NONE
        response.mode_override.request_trailer_mode = mode.SKIP
        response.mode_override.response_trailer_mode = mode.SKIP
    if call.answer:
        response.dynamic_metadata.update({names.PROVIDER_NAMESPACE: dict(call.answer)})
    serialised: bytes = response.SerializeToString()
    return serialised


def _unwanted(headers: Mapping[str, str], kept: Mapping[str, str]) -> list[str]:
    return [
        name
        for name in headers
        if name not in PASSED_HEADERS
        and name not in kept
        and name not in _NOT_OURS
        and not name.startswith(":")
    ]
