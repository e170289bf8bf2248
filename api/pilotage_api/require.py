"""What holds wherever a rule's requests go, and the labels that say so."""

from collections.abc import Iterable
from typing import Final

from pydantic import Field

from pilotage_api.modelpool import ModelPool
from pilotage_api.resource import LABEL_KEY, Block, LabelValue, Problem

TRUST: Final = "trust"
OWN: Final = "own"
PROVIDER: Final = "provider"
"""Values of `trust`: of a pool without the label, by what it is."""


class Require(Block):
    """What holds wherever a rule's requests go."""

    pool_labels: dict[str, LabelValue] = Field(min_length=1, max_length=16)
    """Labels that every pool has: of candidates, of fallbacks, and instead of spent budgets. Classifiers over
    a network are not asked."""

    def problems(self) -> Iterable[Problem]:
        """Keys that no label has."""
        for key in self.pool_labels:
            if LABEL_KEY.match(key) is None:
                yield Problem("invalid-label", f"poolLabels.{key}", "no label has such a key", "correct it")


def labels_of(pool: ModelPool) -> dict[str, str]:
    """Its labels as residency sees them: a provider is never one's own."""
    labels = dict(sorted(pool.metadata.labels.items()))
    if pool.spec.external is not None and labels.get(TRUST) == OWN:
        del labels[TRUST]
    return labels
