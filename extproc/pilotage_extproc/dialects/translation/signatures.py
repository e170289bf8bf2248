"""Which thinking Anthropic takes back: what it has signed itself.

Its signatures are long texts in base64. Servers that offer its API too cannot sign: they leave the signature
out (SGLang), or put a random number there (vLLM 0.32: the 32 digits of a UUID); this gateway's translation
leaves it empty.
"""

import re
from typing import Any, Final

_A_NUMBER: Final = re.compile(r"[0-9A-Fa-f-]*")
"""Empty, hexadecimal, or a UUID: base64 of a signature's length has other letters too."""


def may_be_anthropics(signature: Any) -> bool:
    """Whether Anthropic may have written it; a value of the wrong type is left to Anthropic to refuse."""
    if isinstance(signature, str):
        return _A_NUMBER.fullmatch(signature) is None
    return signature is not None
