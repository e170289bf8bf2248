"""National identity and tax numbers, each by the rules and check digits of its country."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from pilotage_extproc.content.checksums import cpf, mod_11_10, verhoeff
from pilotage_extproc.content.patterns import PatternDetector, compiled
from pilotage_extproc.content.spans import Span
from pilotage_extproc.content.surroundings import digits_of, is_named, no_number_beside, stands_alone

_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_NINO_NEVER: Final = frozenset((b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"))
_CODICE_ODD: Final = (
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
)


def us_ssn() -> PatternDetector:
    """US social security numbers: no check digit, but areas, groups and serials that are never given."""
    words = compiled(r"\bssn\b|social[ -]security", ignore_case=True)

    def check(text: bytes, start: int, end: int) -> Span | None:
        number = text[start:end]
        plain = number.isdigit()
        digits = bytes(char for char in number if 48 <= char <= 57)
        area, group, serial = digits[:3], digits[3:5], digits[5:]
        if area in (b"000", b"666") or area[:1] == b"9" or group == b"00" or serial == b"0000":
            return None
        if number in (b"078-05-1120", b"219-09-9999") or not _alone(text, start, end):
            return None
        return Span(start, end) if not plain or is_named(text, start, words) else None

    return PatternDetector(
        "us-ssn", r"[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} |[0-9]{2})[0-9]{4}", check, hint=_DIGITS_3
    )


def uk_nino() -> PatternDetector:
    """British national insurance numbers: no check digit, but letters that are never given."""
    pattern = r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"

    def check(text: bytes, start: int, end: int) -> Span | None:
        never = text[start : start + 2].upper() in _NINO_NEVER
        return None if never or not stands_alone(text, start, end) else Span(start, end)

    return PatternDetector("uk-nino", pattern, check, hint=r"[A-Z]{2} ?[0-9]{2}", ignore_case=True)


def de_steuer_id() -> PatternDetector:
    """German tax identification numbers: one digit of the first ten repeated, ISO 7064's check digit."""

    def check(text: bytes, start: int, end: int) -> Span | None:
        digits = digits_of(text[start:end])
        counts = sorted(map(digits[:10].count, set(digits[:10])))
        repeated = counts[-1] in (2, 3) and counts[-2:-1] in ([1], [])
        if not repeated or not _alone(text, start, end) or not mod_11_10(digits):
            return None
        return Span(start, end)

    pattern = r"[1-9][0-9](?: ?[0-9]{3}){3}"
    return PatternDetector("de-steuer-id", pattern, check, hint=_DIGITS_3)


def fr_nir() -> PatternDetector:
    """French social security numbers, with Corsican departments, and the key modulo 97."""

    def check(text: bytes, start: int, end: int) -> Span | None:
        number = text[start:end].replace(b" ", b"").upper()
        body, key = number[:13], int(number[13:])
        for department, stands_for in ((b"2A", b"19"), (b"2B", b"18")):
            if body[5:7] == department:
                body = body[:5] + stands_for + body[7:]
        if not stands_alone(text, start, end) or 97 - int(body) % 97 != key:
            return None
        return Span(start, end)

    pattern = (
        r"[1-478] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"
    )
    return PatternDetector("fr-nir", pattern, check, hint=r"[0-9] ?[0-9]{2} ?[0-9]{2}", ignore_case=True)


def es_dni() -> PatternDetector:
    """Spanish DNI and NIE: the letter that stands for the number modulo 23."""

    def check(text: bytes, start: int, end: int) -> Span | None:
        number = bytes(char for char in text[start:end].upper() if char not in b" -.")
        first = {b"X": b"0", b"Y": b"1", b"Z": b"2"}.get(number[:1], number[:1])
        letter = _DNI_LETTERS[int(first + number[1:-1]) % 23]
        if letter != chr(number[-1]) or not stands_alone(text, start, end):
            return None
        return Span(start, end)

    pattern = r"(?:[XYZ][ -]?[0-9]{7}|[0-9]{8}|[0-9]{2}\.[0-9]{3}\.[0-9]{3})[ -]?[A-HJ-NP-TV-Z]"
    return PatternDetector("es-dni", pattern, check, hint=r"[0-9]{3}[ -]?[A-Z]", ignore_case=True)


def it_codice_fiscale() -> PatternDetector:
    """Italian tax codes of persons: 16 characters, the last one a check character."""

    def check(text: bytes, start: int, end: int) -> Span | None:
        code = text[start:end].decode("latin-1").upper()
        total = 0
        for place, char in enumerate(code[:15]):
            value = int(char, 36) - 10 if char.isalpha() else int(char)
            total += value if place % 2 else _CODICE_ODD[value]
        if chr(65 + total % 26) != code[15] or not stands_alone(text, start, end):
            return None
        return Span(start, end)

    digit = "[0-9LMNPQRSTUV]"  # letters stand for digits where two persons would have one code
    pattern = rf"[A-Z]{{6}}{digit}{{2}}[ABCDEHLMPRST]{digit}{{2}}[A-Z]{digit}{{3}}[A-Z]"
    return PatternDetector("it-codice-fiscale", pattern, check, hint=rf"[A-Z]{{6}}{digit}", ignore_case=True)


def in_aadhaar() -> PatternDetector:
    """Indian Aadhaar numbers: twelve digits, Verhoeff's check; in groups of four, or named."""
    words = compiled(
        r"aadhaar|aadhar|\buidai?\b|\xe0\xa4\x86\xe0\xa4\xa7\xe0\xa4\xbe\xe0\xa4\xb0", ignore_case=True
    )

    def check(text: bytes, start: int, end: int) -> Span | None:
        if not _alone(text, start, end) or not verhoeff(digits_of(text[start:end])):
            return None
        before, after = text[max(0, start - 5) : start], text[end : end + 5]
        if _is_group(before[-1:], before[:-1]) or _is_group(after[:1], after[1:]):
            return None  # part of a longer number in groups of four, such as a card's
        return Span(start, end) if end - start > 12 or is_named(text, start, words) else None

    return PatternDetector("in-aadhaar", r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", check, hint=_DIGITS_3)


def br_cpf() -> PatternDetector:
    """Brazilian CPF: eleven digits with two check digits; written with its marks, or named."""
    words = compiled(r"\bcpf\b", ignore_case=True)

    def check(text: bytes, start: int, end: int) -> Span | None:
        if not _alone(text, start, end) or not cpf(digits_of(text[start:end])):
            return None
        return Span(start, end) if end - start > 11 or is_named(text, start, words) else None

    pattern = r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}|[0-9]{9}-?[0-9]{2}"
    return PatternDetector("br-cpf", pattern, check, hint=_DIGITS_3)


_DIGITS_3: Final = r"[0-9]{2}[ .-]?[0-9]"


def _is_group(separator: bytes, digits: bytes) -> bool:
    return separator in (b" ", b"-") and len(digits) == 4 and digits.isdigit()


def _alone(text: bytes, start: int, end: int) -> bool:
    return stands_alone(text, start, end) and no_number_beside(text, start, end)


NATIONAL_IDS: Final = MappingProxyType[str, Callable[[], PatternDetector]](
    {
        "us-ssn": us_ssn,
        "uk-nino": uk_nino,
        "de-steuer-id": de_steuer_id,
        "fr-nir": fr_nir,
        "es-dni": es_dni,
        "it-codice-fiscale": it_codice_fiscale,
        "in-aadhaar": in_aadhaar,
        "br-cpf": br_cpf,
    }
)
