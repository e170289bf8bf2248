"""Texts loaded again and again: one that is the same gives the same resources, the very objects."""

from collections.abc import Iterable
from typing import NamedTuple

from pilotage_api.load import Loaded, take_text
from pilotage_api.resource import DEFAULT_NAMESPACE


class _Read(NamedTuple):
    text: str
    loaded: Loaded
    """What it holds, read alone."""


class TextLoader:
    """Gives what `load_texts` gives; a text that is the same as the last time is not read again.

    Not for several threads at once.
    """

    def __init__(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        self._namespace = namespace
        self._read: dict[str, _Read] = {}

    def load(self, texts: Iterable[tuple[str, str]]) -> Loaded:
        """Read `(file name, text)` pairs. Never raises for the content."""
        whole, read = Loaded(self._namespace), {}
        for name, text in texts:
            one = read[name] = self._alone(name, text)
            if whole.is_apart_from(one.loaded):
                whole.add(one.loaded)
            else:  # something stands in a text before it too: what counts of this one depends on that
                take_text(name, text, whole)
        self._read = read
        return whole

    def _alone(self, name: str, text: str) -> _Read:
        known = self._read.get(name)
        if known is not None and known.text == text:
            return known
        loaded = Loaded(self._namespace)
        take_text(name, text, loaded)
        return _Read(text, loaded)
