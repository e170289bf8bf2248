"""Names that stand for values: typed, the same for one value in all turns of a session, and of one only."""

import base64
import hashlib
from collections.abc import Collection, Iterator
from typing import Final

from pilotage_extproc.content.patterns import compiled
from pilotage_extproc.content.spans import Span

_LETTERS: Final = 10
"""Of the digest, 50 bits."""
LOOKS: Final = r"\[[A-Z][A-Z0-9-]{0,62}_[a-z2-7]{10,52}\]"
"""A pattern of all of them."""
LOOK_ALIKE: Final = "placeholder"
"""What `LookAlikes` finds; no detector of a policy may be named so."""


class Placeholders:
    """Those of one request, such as `[EMAIL_k3v4x2abq7]`.

    A name is a keyed digest of tenant, session, kind and value: it says nothing of the value to those who
    have no key, and is another one for every tenant and session.
    """

    def __init__(self, key: bytes, tenant: bytes, session: bytes) -> None:
        """The key has at most 64 bytes."""
        self._key = key
        self._scope = b"%d %b%d %b" % (len(tenant), tenant, len(session), session)
        self._values: dict[str, tuple[str, bytes]] = {}
        self._originals: dict[str, tuple[str, str]] = {}

    def name(self, kind: str, value: bytes, original: str | None = None) -> str:
        """The placeholder of a value; `original` is what stands in the body, where that is one text."""
        found = hashlib.blake2b(key=self._key, digest_size=32)
        found.update(b"%b%b\x00%b" % (self._scope, kind.encode(), value))
        digest = base64.b32encode(found.digest()).decode().rstrip("=").lower()
        for letters in range(_LETTERS, len(digest) + 1):
            name = f"[{kind.upper()}_{digest[:letters]}]"
            if self._values.setdefault(name, (kind, value)) == (kind, value):
                if original is not None:
                    self._originals.setdefault(name, (kind, original))
                return name
        raise AssertionError("two values have one digest")

    def originals(self, kinds: Collection[str]) -> dict[str, str]:
        """What stood in the body first in the place of each placeholder of these kinds."""
        return {name: text for name, (kind, text) in self._originals.items() if kind in kinds}

    def made(self, name: str) -> bool:
        """Whether it stands for a value of this request."""
        return name in self._values


class LookAlikes:
    """Finds what is written like a placeholder, whoever wrote it."""

    name = LOOK_ALIKE

    def __init__(self) -> None:
        self._pattern = compiled(LOOKS)

    def find(self, text: bytes) -> Iterator[Span | None]:
        """Where they stand."""
        if b"_" not in text or b"[" not in text:
            return
        for count, found in enumerate(self._pattern.finditer(text), 1):
            yield Span(*found.span())
            if count % 32 == 0:
                yield None
