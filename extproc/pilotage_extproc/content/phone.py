"""Phone numbers: prefiltered here, validated by `phonenumbers`, a port of Google's libphonenumber."""

from typing import Any, Final

from pilotage_extproc.content.patterns import PatternDetector, compiled
from pilotage_extproc.content.spans import Span
from pilotage_extproc.content.surroundings import stands_alone

_US: Final = r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}"
_WORDS: Final = (
    r"(?:phone|mobile|\bcell|\btel\b|fax|whatsapp|\bcall\b|\bsms\b|telefon|handy|cellulare|celular|rufnummer)"
)
_MORE: Final = r"[0-9 ()./-]{5,24}[0-9]"
_PATTERN: Final = rf"\+[0-9(]{_MORE}|{_US}|{_WORDS}[^0-9+(]{{0,32}}[0-9(]{_MORE}"
"""With its country, as in the United States, or behind a word that says what it is."""
_NUMERIC: Final = tuple(bytes((char,)) for char in b"+(0123456789")
_REGIONS: Final = ("GB", "DE", "FR", "ES", "IT", "IN", "BR", "US", "AU")
"""Tried in turn where a word says that it is a phone number, and no country stands before it."""
_MOST_TRIES: Final = 2


class _Numbers:
    """Confirms candidates; loading what is known of countries takes 0.2 s, once."""

    def __init__(self) -> None:
        import phonenumbers  # noqa: PLC0415 - 2.6 MB, only where a policy asks for phone numbers

        self._parse: Any = phonenumbers.parse
        self._is_valid: Any = phonenumbers.is_valid_number
        self._refused: type[Exception] = phonenumbers.NumberParseException
        self._begin = compiled(r"[+(0-9]")
        self._groups = compiled(r"[0-9]+")

    def warmed(self) -> "_Numbers":
        """The same, with the countries that are tried loaded."""
        for region in _REGIONS:
            self._holds("2025550143", region)
        self._holds("+12020550199", None)  # one of the many countries that share +1
        return self

    def check(self, text: bytes, start: int, end: int) -> Span | None:
        named = text[start : start + 1] not in _NUMERIC
        begin = start + self._begin.search(text[start:end]).start()
        if begin and (text[begin - 1 : begin].isalnum() or text[begin - 1] in b"_./#"):
            return None
        if text[begin : begin + 1] == b"+":
            return self._shortened(text, begin, end, None)
        for region in _REGIONS if named else ("US",):
            shown = self._shortened(text, begin, end, region)
            if shown is not None:
                return shown
        return None

    def _shortened(self, text: bytes, start: int, end: int, region: str | None) -> Span | None:
        """The candidate, or as much of its beginning as is a number: another number may follow."""
        ends = [found.end() for found in self._groups.finditer(text[start:end])]
        for stop in reversed(ends[-_MOST_TRIES:]):
            if stands_alone(text, start, start + stop) and self._holds(
                text[start : start + stop].decode("latin-1"), region
            ):
                return Span(start, start + stop)
        return None

    def _holds(self, number: str, region: str | None) -> bool:
        try:
            return bool(self._is_valid(self._parse(number, region)))
        except self._refused:
            return False


def phone() -> PatternDetector:
    """The detector."""
    check = _Numbers().warmed().check
    return PatternDetector(
        "phone", _PATTERN, check, hint=r"[0-9][0-9 ()./-]{5,}[0-9]", ignore_case=True, pause_every=1
    )
