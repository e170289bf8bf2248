"""The translation scripts, run by the same LuaJIT as Envoy's, without Envoy."""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import lupa.luajit21 as lupa

from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.envoy.lua.translation_filter import translation_script

NOW = 1_790_000_000
_DRIVER = b"""
os = { time = function() return %d end }
local function run_stream(answer_as, wanted, pieces, ended)
  local out = {}
  local state = new_stream(ENCODERS[answer_as], wanted, function(piece) out[#out + 1] = piece end)
  local sent = {}
  for index = 1, #pieces do
    feed_answer(state, pieces[index])
    sent[index] = table.concat(out)
    out = {}
  end
  if ended then end_answer(state) end
  sent[#sent + 1] = table.concat(out)
  return sent
end
local function run_whole(answer_as, wanted, status, text)
  local code, body, stream = translate_whole(status, text, ENCODERS[answer_as], wanted)
  return code, body, stream or false
end
return {
  own_places = with_own_places, stream = run_stream, whole = run_whole,
  null = null, decode = decode, quoted = quoted,
}
"""


@cache
def scripts(provider: CallKind) -> Any:
    """The functions of a provider's script."""
    runtime = lupa.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    return runtime, runtime.execute(translation_script(provider).encode() + _DRIVER % NOW)


class Whole(NamedTuple):
    """An unstreamed answer."""

    status: int
    body: bytes
    is_stream: bool


def _wanted(runtime: Any, usage: bool, thinking: bool, stream: bool) -> Any:
    return runtime.table_from({b"usage": usage, b"thinking": thinking, b"stream": stream})


def own_places(text: bytes, moved: str) -> bytes:
    """An error of a provider with places as the client counts them."""
    _, functions = scripts(CallKind.MESSAGES)
    changed: bytes = functions[b"own_places"](text, moved.encode())
    return changed


def stream(
    provider: CallKind,
    answer_as: CallKind,
    pieces: Iterable[bytes],
    *,
    usage: bool = True,
    thinking: bool = True,
    ended: bool = True,
) -> list[bytes]:
    """What leaves for each piece, and at the end."""
    runtime, functions = scripts(provider)
    sent = functions[b"stream"](
        answer_as.value.encode(),
        _wanted(runtime, usage, thinking, True),
        runtime.table_from(list(pieces)),
        ended,
    )
    return list(sent.values())


def whole(
    provider: CallKind,
    answer_as: CallKind,
    body: bytes | None,
    *,
    status: int = 200,
    thinking: bool = True,
    streamed: bool = False,
) -> Whole:
    """An unstreamed answer, to a client that asked for one or for a stream."""
    runtime, functions = scripts(provider)
    wanted = _wanted(runtime, True, thinking, streamed)
    code, text, is_stream = functions[b"whole"](answer_as.value.encode(), wanted, status, body)
    return Whole(int(code), text, bool(is_stream))
