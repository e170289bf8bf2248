"""Writes the corpus: `python -m bench.content.make_corpus`. All values are made up, by rules of their own.

Check digits are found here by trying, with formulas written apart from those of the detectors.
"""

import json
import random
import string
from collections.abc import Callable
from pathlib import Path

import phonenumbers

CORPUS = Path(__file__).with_name("corpus.jsonl")
_EACH = 60
_CARRIERS = (
    "Please update the account: {}",
    "hi, my details are {} thanks!",
    "{}",
    '{{"field": "{}", "status": "new"}}',
    "Customer wrote:\n> {}\nWhat should I answer?",
    "| name | value |\n|---|---|\n| x | {} |",
    "Translate to French: I can be reached under {}.",
    "SELECT * FROM t WHERE v = '{}';",
    "Ref: ({}), see attachment",
    "Bitte prüfen Sie {} bis morgen.",
)
_DIGITS = string.digits
_UPPER = string.ascii_uppercase
_ALNUM = string.ascii_letters + string.digits


class Values:
    """Values of each kind, drawn at random."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def digits(self, count: int) -> str:
        return self.some(_DIGITS, count)

    def some(self, chars: str, count: int) -> str:
        return "".join(self._random.choice(chars) for _ in range(count))

    def one(self, *of: str) -> str:
        return self._random.choice(of)

    def email(self) -> str:
        local = self.one("anna.k", "j_doe", "info", "m+lists", "x" + self.digits(3), "O.Brien")
        return f"{local}@{self.one('mail', 'corp-it', 'uni.physics', 'a1')}.{self.one('com', 'example', 'co.uk', 'de', 'museum')}"

    def phone(self) -> str:
        types = phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE
        while True:
            region = self.one("US", "GB", "DE", "FR", "ES", "IT", "IN", "BR", "JP", "AU", "NL", "SE", "PL")
            example = phonenumbers.example_number_for_type(region, self._random.choice(types))
            assert example is not None and example.national_number is not None
            number = phonenumbers.PhoneNumber(
                country_code=example.country_code,
                national_number=example.national_number + self._random.randrange(90),
            )
            if phonenumbers.is_valid_number(number):
                break
        if region == "US" and self._random.random() < 0.5:
            text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            return text if self._random.random() < 0.5 else text.replace("(", "").replace(") ", "-")
        form = self._random.choice(
            (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164)
        )
        return phonenumbers.format_number(number, form)

    def payment_card(self) -> str:
        prefix, length = self._random.choice(
            (("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("37", 15), ("6011", 16), ("3530", 16))
        )
        while True:
            number = prefix + self.digits(length - len(prefix))
            total = 0
            for place, char in enumerate(reversed(number)):
                value = int(char) * (2 if place % 2 else 1)
                total += value // 10 + value % 10
            if total % 10 == 0:
                break
        separator = self.one("", " ", "-")
        cuts = (4, 10, 15) if length == 15 else (4, 8, 12, 16)
        return separator.join(number[a:b] for a, b in zip((0, *cuts), cuts, strict=False))

    def iban(self) -> str:
        country, length, letters = self._random.choice(
            (
                ("DE", 22, 0),
                ("GB", 22, 4),
                ("FR", 27, 0),
                ("ES", 24, 0),
                ("NL", 18, 4),
                ("IT", 27, 1),
                ("CH", 21, 0),
            )
        )
        account = self.some(_UPPER, letters) + self.digits(length - 4 - letters)
        for check in range(2, 99):
            number = f"{country}{check:02d}{account}"
            moved = number[4:] + number[:4]
            value = "".join(str(ord(one) - 55) if one.isalpha() else one for one in moved)
            if int(value) % 97 == 1:
                break
        return (
            number
            if self._random.random() < 0.5
            else " ".join(number[at : at + 4] for at in range(0, length, 4))
        )

    def us_ssn(self) -> str:
        area = self._random.choice([one for one in range(1, 900) if one != 666])
        return f"{area:03d}-{self._random.randint(1, 99):02d}-{self._random.randint(1, 9999):04d}"

    def uk_nino(self) -> str:
        prefix = self.one("AB", "CE", "JG", "NX", "SW", "YZ")
        groups = [prefix, *(self.digits(2) for _ in range(3)), self.some("ABCD", 1)]
        return self.one("", " ").join(groups)

    def de_steuer_id(self) -> str:
        while True:
            first = self._random.sample(_DIGITS, 9)
            first.insert(self._random.randrange(10), self._random.choice(first))
            if first[0] == "0":
                continue
            rest = 10
            for one in first:
                rest = ((int(one) + rest) % 10 or 10) * 2 % 11
            number = "".join(first) + str((11 - rest) % 10)
            return (
                number
                if self._random.random() < 0.5
                else f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"
            )

    def fr_nir(self) -> str:
        body = f"{self.one('1', '2')}{self.digits(2)}{self._random.randint(1, 12):02d}{self._random.randint(1, 95):02d}{self.digits(6)}"
        return f"{body}{97 - int(body) % 97:02d}"

    def es_dni(self) -> str:
        number = self._random.randrange(10**7, 10**8)
        return f"{number}{self.one('', '-')}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"

    def it_codice_fiscale(self) -> str:
        code = self.some("BCDFGLMNPRST", 6) + self.digits(2) + self.some("ABCDEHLMPRST", 1)
        code += f"{self._random.randint(1, 31):02d}{self.some(_UPPER, 1)}{self.digits(3)}"
        odd = dict(zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True))
        odd |= dict(
            zip(
                _UPPER,
                (
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
                ),
                strict=True,
            )
        )
        even = {one: int(one) if one.isdigit() else ord(one) - 65 for one in _DIGITS + _UPPER}
        total = sum(even[one] if place % 2 else odd[one] for place, one in enumerate(code))
        return code + chr(65 + total % 26)

    def in_aadhaar(self) -> str:
        inverse = (0, 4, 3, 2, 1, 5, 6, 7, 8, 9)

        def product(one: int, other: int) -> int:  # of the dihedral group of ten elements
            if one < 5:
                return (one + other) % 5 if other < 5 else 5 + (one + other) % 5
            return 5 + (one - other) % 5 if other < 5 else (one - other) % 5

        body = self.one(*"23456789") + self.digits(10)
        check = 0
        for place, char in enumerate(reversed(body), 1):
            value = int(char)
            for _ in range(place % 8):
                value = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[value]
            check = product(check, value)
        number = f"{body}{inverse[check]}"
        return f"{number[:4]} {number[4:8]} {number[8:]}"

    def br_cpf(self) -> str:
        number = self.digits(9)
        for _ in range(2):
            rest = (
                sum(
                    int(one) * weight
                    for one, weight in zip(number, range(len(number) + 1, 1, -1), strict=True)
                )
                % 11
            )
            number += str(0 if rest < 2 else 11 - rest)
        return f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"

    def ip_address(self) -> str:
        if self._random.random() < 0.3:
            return "2001:db8:" + ":".join(f"{self._random.randrange(1, 65536):x}" for _ in range(6))
        return ".".join(str(self._random.randrange(11, 220)) for _ in range(4))

    def secret(self) -> str:
        made: tuple[Callable[[], str], ...] = (
            lambda: "AKIA" + self.some(_UPPER + "234567", 16),
            lambda: "ghp_" + self.some(_ALNUM, 36),
            lambda: "sk-proj-" + self.some(_ALNUM, 48),
            lambda: "AIza" + self.some(_ALNUM, 35),
            lambda: "xoxb-" + self.digits(11) + "-" + self.some(_ALNUM, 24),
            lambda: "glpat-" + self.some(_ALNUM, 20),
            lambda: (
                "eyJ" + self.some(_ALNUM, 20) + ".eyJ" + self.some(_ALNUM, 40) + "." + self.some(_ALNUM, 43)
            ),
            lambda: "-----BEGIN PRIVATE KEY-----\n" + self.some(_ALNUM, 64) + "\n-----END PRIVATE KEY-----",
        )
        return self._random.choice(made)()

    def benign(self) -> str:
        return self.one(
            f"The meeting on 2026-{self._random.randint(1, 12):02d}-{self._random.randint(1, 28):02d} starts at 10:30:{self.digits(2)}.",
            f"Order {self.digits(7)} weighs {self.digits(2)}.{self.digits(3)} kg and costs {self.digits(4)},{self.digits(2)} EUR.",
            f"commit {self.some('0123456789abcdef', 40)} fixes #{self.digits(4)}",
            f"uuid {self.some('0123456789abcdef', 8)}-{self.some('0123456789abcdef', 4)}-4{self.some('0123456789abcdef', 3)}-a{self.some('0123456789abcdef', 3)}-{self.some('0123456789abcdef', 12)}",
            f"Upgrade to v{self._random.randint(1, 30)}.{self._random.randint(0, 30)}.{self._random.randint(0, 99)} of the package.",
            f"What is {self.digits(5)} times {self.digits(6)}? Show each step.",
            f"ISBN 978-3-{self.digits(2)}-{self.digits(6)}-{self.digits(1)} is out of print.",
            f"def f(x): return x @ w{self.digits(1)}  # std::map<int, a::b> in C++",
            f"Population: {self.digits(1)},{self.digits(3)},{self.digits(3)}; area {self.digits(6)} km2.",
            f"Natalia sold {self.digits(2)} clips in April, and half as many in May. How many in all?",
            f"epoch 1{self.digits(9)}, {self.digits(13)} ms; pi is 3.14159265358979",
            f"git clone git@github.com:org/repo-{self.digits(2)}.git && cd repo",
            f"Room {self.digits(3)}-{self.digits(2)}, extension {self.digits(4)}, part no. {self.some(_UPPER, 3)}-{self.digits(5)}",
            f"[{', '.join(self.digits(3) for _ in range(12))}]",
            "Summarise the plot of the book in three sentences, and name its main themes.",
            "Explain how TCP's congestion control differs from that of QUIC, for a beginner.",
        )


KINDS = (
    "email", "phone", "payment-card", "iban", "us-ssn", "uk-nino", "de-steuer-id", "fr-nir", "es-dni",
    "it-codice-fiscale", "in-aadhaar", "br-cpf", "ip-address", "secret",
)  # fmt: skip


def main() -> None:
    """Write the corpus."""
    values = Values(20261128)
    lines = []
    for kind in KINDS:
        for number in range(_EACH):
            carrier = _CARRIERS[number % len(_CARRIERS)]
            value = getattr(values, kind.replace("-", "_"))()
            lines.append({"kind": kind, "value": value, "text": carrier.format(value)})
    lines += [{"kind": None, "value": None, "text": values.benign()} for _ in range(_EACH * len(KINDS))]
    CORPUS.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


if __name__ == "__main__":
    main()
