"""How figures of routing quality are made: seeds, folds, groups and bands, fixed before anything was trained.

Written and committed before the first weights; a change here makes every figure of docs/routing-quality.md
another figure.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SEED: Final = 20261128
FOLDS: Final = 5
RESAMPLES: Final = 1_000
"""Of a bootstrap."""
INTERVAL: Final = 0.95

LOW_BAND: Final = (0.0, 0.25)
"""Shares of calls to the strong model over which LPM is the mean quality."""
RECOVERY_BAND: Final = (0.70, 0.90)
"""Shares of the gap recovered over which HCR is the mean share of calls. MPM is the mean quality between the
low band's end and the calls at which this band begins."""

OWN_LABELS: Final = (300, 600, 1200)
OWN_LABELS_KEPT: Final = 1200
"""Of a group: the labels are drawn from these, the rest is judged on, whatever number of labels is used."""

HARDEST_TO_READ: Final = "moral_scenarios"
"""One template fills this subject: figures are given without it too."""

SUBJECT_GROUPS: Final = (
    (
        *("moral_scenarios", "high_school_biology", "astronomy", "human_aging", "econometrics"),
        *("college_mathematics", "global_facts", "medical_genetics"),
    ),
    (
        *("professional_psychology", "nutrition", "high_school_mathematics", "high_school_us_history"),
        *("sociology", "abstract_algebra", "formal_logic", "machine_learning"),
    ),
    (
        *("high_school_psychology", "prehistory", "conceptual_physics", "high_school_statistics"),
        *("world_religions", "college_computer_science", "high_school_european_history", "virology"),
    ),
    (
        *("elementary_mathematics", "philosophy", "professional_medicine", "marketing"),
        *("high_school_chemistry", "electrical_engineering", "business_ethics", "management"),
    ),
    (
        *("moral_disputes", "security_studies", "high_school_microeconomics", "high_school_geography"),
        *("high_school_government_and_politics", "college_medicine", "human_sexuality"),
        "high_school_computer_science",
    ),
)
"""Subjects left out together."""

_OF_DOMAIN: Final = {
    "math": (
        *("abstract_algebra", "college_mathematics", "elementary_mathematics", "high_school_mathematics"),
        "high_school_statistics",
    ),
    "code": ("college_computer_science", "high_school_computer_science", "machine_learning"),
    "medicine": (
        *("college_medicine", "medical_genetics", "professional_medicine", "virology", "nutrition"),
        "human_aging",
    ),
    "business": (
        *("business_ethics", "econometrics", "high_school_microeconomics", "management", "marketing"),
    ),
    "science": (
        *("astronomy", "conceptual_physics", "electrical_engineering", "high_school_biology"),
        "high_school_chemistry",
    ),
    "history": (*("high_school_european_history", "high_school_us_history", "prehistory"),),
}
DOMAIN_OF_SUBJECT: Final[Mapping[str, str]] = MappingProxyType(
    {subject: domain for domain, subjects in _OF_DOMAIN.items() for subject in subjects}
)
"""Subjects that are not here have no domain of ours (`other`). None is law: that domain is learned from
phrases alone."""


def fold_of(prompt: str, folds: int = FOLDS) -> int:
    """Which fold a prompt is in: by its text and the seed, so it is the same in any order."""
    digest = hashlib.blake2b(f"{SEED}\0{prompt}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % folds


def group_of(subject: str) -> int:
    """Which group of subjects one is left out with. Raises ValueError for a subject that is in none."""
    for number, subjects in enumerate(SUBJECT_GROUPS):
        if subject in subjects:
            return number
    raise ValueError(f"no group has the subject {subject!r}")
