"""What tests of content share: a body with a text in it, scanned and redacted."""

from collections.abc import Iterable

import orjson

from pilotage_extproc.content.catalogue import BUILT_IN, Catalogue
from pilotage_extproc.content.folding import Folding
from pilotage_extproc.content.placeholders import LookAlikes, Placeholders
from pilotage_extproc.content.redaction import Redacted, Sighting, redaction, sightings
from pilotage_extproc.content.scan import Scan, Scanner

_CATALOGUE = Catalogue()
SCANNER = Scanner([*map(_CATALOGUE.get, BUILT_IN), LookAlikes()], Folding())


def chat(*texts: str) -> bytes:
    """A chat whose only message has these parts of text."""
    parts = [{"type": "text", "text": text} for text in texts]
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]})


def scanned(body: bytes, scanner: Scanner = SCANNER) -> Scan:
    scan = Scan()
    for _ in scanner.steps(body, scan):
        pass
    return scan


def seen(body: bytes, scanner: Scanner = SCANNER) -> list[Sighting]:
    found: list[Sighting] = []
    for _ in sightings(scanned(body, scanner), found):
        pass
    return found


def kinds_in(text: str) -> set[str]:
    return {one.kind for one in seen(chat(text))}


def redacted(
    body: bytes,
    kinds: Iterable[str] = BUILT_IN,
    names: Placeholders | None = None,
    scanner: Scanner = SCANNER,
) -> bytes:
    into = Redacted(body)
    names = names or Placeholders(b"key", b"tenant", b"session")
    for _ in redaction(scanned(body, scanner), scanner, names, frozenset(kinds), into):
        pass
    return into.body
