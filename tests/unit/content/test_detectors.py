"""Detectors find what has the form and the check digits of a kind, and little else."""

import pytest
from scanning import kinds_in

from pilotage_extproc.content.catalogue import BUILT_IN, Catalogue
from pilotage_extproc.content.custom import CustomDetector, word_list
from pilotage_extproc.content.spans import Span

VALUES = [
    ("email", "alice.b+c@mail.example.co.uk"),
    ("email", "jörg@müller.example"),
    ("phone", "+49 30 901820"),
    ("phone", "(415) 555-2671"),
    ("phone", "my phone is 020 7946 0018"),
    ("payment-card", "4111 1111 1111 1111"),
    ("payment-card", "378282246310005"),
    ("payment-card", "5555-5555-5555-4444"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "gb82west12345698765432"),
    ("us-ssn", "536-22-1234"),
    ("us-ssn", "SSN: 536221234"),
    ("uk-nino", "AB 12 34 56 C"),
    ("de-steuer-id", "86 095 742 719"),
    ("fr-nir", "255081416802538"),
    ("fr-nir", "1 85 05 2A 006 084 35"),
    ("es-dni", "12345678Z"),
    ("es-dni", "X1234567L"),
    ("it-codice-fiscale", "RSSMRA85T10A562S"),
    ("in-aadhaar", "2345 6789 0124"),
    ("br-cpf", "111.444.777-35"),
    ("br-cpf", "CPF 11144477735"),
    ("ip-address", "192.168.1.20"),
    ("ip-address", "2001:db8::8a2e:370:7334"),
    ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ("secret", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
    ("secret", "sk-ant-api03-0123456789abcdefghij"),
    ("secret", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"),
    ("secret", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"),
]
OTHERS = [
    "4111 1111 1111 1112",
    "DE89 3704 0044 0532 0130 01",
    "666-22-1234",
    "900-22-1234",
    "BG 12 34 56 C",
    "86095742718",
    "12345678A",
    "RSSMRA85T10A562T",
    "2345 6789 0125",
    "111.111.111-11",
    "version 1.2.3",
    "127.0.0.1",
    "12:30:45",
    "std::vector::iterator",
    "git@github.com:org/repo.git",
    "@pytest.fixture",
    "2026-11-28 10:20:30",
    "order 20261128-0001 of 1234567 items",
    "3.14159265358979323846",
    "task-0123456789abcdefghij",
    "a skeleton key",
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_value_is_found_wherever_it_stands_in_a_text(kind: str, value: str) -> None:
    for text in (value, f"this is it: {value}, thank you", f"({value})", f"a\n{value}\nb"):
        assert kind in kinds_in(text)


@pytest.mark.parametrize("text", OTHERS)
def test_what_only_looks_like_a_value_is_not_found(text: str) -> None:
    assert kinds_in(f"see {text} there") == set()


def test_every_detector_has_a_value_here() -> None:
    assert {kind for kind, _ in VALUES} == set(BUILT_IN)


def test_a_card_is_found_between_other_digits() -> None:
    assert "payment-card" in kinds_in("12 345 4111 1111 1111 1111 678 9")


def test_a_private_key_is_found_to_its_end() -> None:
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"QUJD\n" * 900 + b"-----END PRIVATE KEY-----"
    assert list(Catalogue().get("secret").find(b"x " + key + b" y")) == [Span(2, 2 + len(key))]


def test_words_are_found_whole_and_without_case() -> None:
    detector = word_list("projects", ["Blue Heron", "Kestrel"])
    assert list(detector.find(b"the blue  HERON, kestrels, kestrel")) == [Span(4, 15), Span(27, 34)]


def test_an_own_pattern_finds_what_it_matches_and_nothing_empty() -> None:
    assert list(CustomDetector("ticket", r"(?:TCK-\d{4})?").find(b"a TCK-1234 b")) == [Span(2, 10)]
