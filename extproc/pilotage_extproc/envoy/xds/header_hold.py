"""Answers held back until their first content, so that a queued stream can be tried at another server.

Model servers send the headers of a stream at once, and often a first event without content; its first token
comes when the prefill is done. Once anything has gone to the client no other server can be tried: a server
that dies with streams in its queue would cost each of them. None of Envoy's own upstream filters can wait for
a first event, so this one is a WebAssembly module, run by the V8 inside Envoy (`envoy/hold/first_event.wat`).
"""

import base64
from pathlib import Path
from typing import Final

from envoy_data_plane.envoy.extensions.filters.http.wasm.v3 import Wasm

from pilotage_extproc.envoy import hold
from pilotage_extproc.envoy.xds.typed import Fields, extension

_MODULE: Final = Path(hold.__path__[0]) / "first_event.wasm"


def header_hold_filter() -> Fields:
    """The upstream filter. Should V8 fail, answers go on as they come."""
    return extension(
        "envoy.filters.http.wasm",
        Wasm,
        {
            "config": {
                "name": "header-hold",
                "failurePolicy": "FAIL_OPEN",
                "allowOnHeadersStopIteration": True,
                "vmConfig": {
                    "vmId": "header-hold",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"inlineBytes": base64.b64encode(header_hold_module()).decode()}},
                },
            }
        },
    )


def header_hold_module() -> bytes:
    """The WebAssembly module."""
    return _MODULE.read_bytes()
