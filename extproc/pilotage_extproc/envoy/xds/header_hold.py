"""Response headers held back until the first byte of the body, so that a queued stream can be retried.

Model servers send the headers of a stream at once and its first token when the prefill is done. Envoy
forwards headers as they come, and once they have gone no other server can be tried: a server that dies
with streams in its queue would cost each of them. None of Envoy's own upstream filters can wait for a
first body byte, so this one is a WebAssembly module, run by the V8 inside Envoy, of two answers: pause
on response headers, continue on response body. It reads nothing, changes nothing and holds no memory.

The module is assembled here, byte by byte, since it is smaller than a tool chain's output:
https://webassembly.github.io/spec/core/binary/ and the Proxy-Wasm ABI 0.2.1,
https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1.
"""

import base64
from dataclasses import dataclass

from envoy_data_plane.envoy.extensions.filters.http.wasm.v3 import Wasm

from pilotage_extproc.envoy.xds.typed import Fields, extension

_I32 = b"\x7f"
_FUNCTION, _MEMORY = b"\x00", b"\x02"
_END = b"\x0b"
_CONTINUE = b"\x41\x00"
"""`i32.const 0`: Proxy-Wasm's Action.Continue, also "no memory" for an allocation nobody asks for."""
_PAUSE_UNLESS_END_OF_STREAM = b"\x20\x02\x45"
"""`local.get 2; i32.eqz`: Action.Pause (1) while more follows, Action.Continue (0) after the end."""


@dataclass(frozen=True, slots=True)
class _Export:
    name: str
    parameters: int
    results: int
    code: bytes


_EXPORTS = (
    _Export("proxy_abi_version_0_2_1", 0, 0, b""),
    _Export("proxy_on_memory_allocate", 1, 1, _CONTINUE),
    _Export("proxy_on_context_create", 2, 0, b""),
    _Export("proxy_on_response_headers", 3, 1, _PAUSE_UNLESS_END_OF_STREAM),
    _Export("proxy_on_response_body", 3, 1, _CONTINUE),
)


def header_hold_filter() -> Fields:
    """The upstream filter. Should V8 fail, headers go on as they come."""
    module = base64.b64encode(header_hold_module()).decode()
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
                    "code": {"local": {"inlineBytes": module}},
                },
            }
        },
    )


def header_hold_module() -> bytes:
    """The WebAssembly module."""
    types = [
        b"\x60" + _unsigned(e.parameters) + _I32 * e.parameters + _unsigned(e.results) + _I32 * e.results
        for e in _EXPORTS
    ]
    exports = [_name(e.name) + _FUNCTION + _unsigned(index) for index, e in enumerate(_EXPORTS)]
    exports.append(_name("memory") + _MEMORY + _unsigned(0))
    bodies = [b"\x00" + e.code + _END for e in _EXPORTS]  # no local variables
    return b"".join(
        (
            b"\0asm\x01\0\0\0",
            _section(1, types),
            _section(3, [_unsigned(index) for index in range(len(_EXPORTS))]),
            _section(5, [b"\x00\x01"]),  # one memory of at least a page: the host insists on it
            _section(7, exports),
            _section(10, [_unsigned(len(body)) + body for body in bodies]),
        )
    )


def _section(number: int, items: list[bytes]) -> bytes:
    content = _unsigned(len(items)) + b"".join(items)
    return bytes((number,)) + _unsigned(len(content)) + content


def _name(text: str) -> bytes:
    return _unsigned(len(text)) + text.encode()


def _unsigned(value: int) -> bytes:
    """LEB128."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
