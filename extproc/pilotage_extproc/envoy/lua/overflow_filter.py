"""Answers that say a prompt is too long, told by a header: only for requests that go on for that reason."""

import json
from pathlib import Path
from typing import Final

from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua

from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.xds.typed import Fields, extension

SIGNS: Final = (
    "context_length_exceeded",  # OpenAI, Azure
    "maximum context length",  # vLLM
    "model's context length",  # SGLang
    "max_seq_len",  # TensorRT-LLM
    "maximum input length",
    "exceed_context_size",  # llama.cpp
    "prompt is too long",  # Anthropic
    "exceed context limit",
)
"""Texts of errors, in lower case; where they stand in the answer does not matter."""
_MOST_READ: Final = 16_384
_SCRIPT: Final = Path(__file__).parent / "overflow.lua"


def overflow_filter() -> Fields:
    """The filter; it holds an answer of 400 or 413 back until it is whole, and no other."""
    return extension(
        "envoy.filters.http.lua", Lua, {"defaultSourceCode": {"inlineString": overflow_script()}}
    )


def overflow_script() -> str:
    """The script, names of the contract first."""
    signs = ", ".join(json.dumps(sign) for sign in SIGNS)
    names = (
        f"local OVERFLOWS = {json.dumps(contract.OVERFLOWS)}\n"
        f"local MOST_READ = {_MOST_READ}\n"
        f"local SIGNS = {{{signs}}}\n"
    )
    return names + _SCRIPT.read_text()
