"""Exact tokens of a text in a bundled vocabulary: by quicktok, an optional package."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

PACKAGE: Final = "quicktok"
VOCABULARIES: Final = ("o200k_base", "cl100k_base", "llama3", "qwen3")
NOT_INSTALLED: Final = (
    "promptFeatures.tokens needs the package quicktok-v1 (pip install 'pilotage[tokens]'); "
    "tokens are estimated instead"
)


def available() -> bool:
    """Whether the package is installed."""
    return find_spec(PACKAGE) is not None


def counter(vocabulary: str) -> Callable[[bytes], int]:
    """What counts tokens in one of `VOCABULARIES`. Raises ImportError or KeyError."""
    if vocabulary not in VOCABULARIES:
        raise KeyError(vocabulary)
    quicktok: Any = import_module(PACKAGE)
    encoding = quicktok.get_encoding(vocabulary)

    def count(text: bytes) -> int:
        return int(quicktok.count_batch(encoding, [text.decode("utf-8", "replace")])[0])

    return count
