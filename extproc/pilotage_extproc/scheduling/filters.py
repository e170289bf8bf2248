"""The filters of this version: what the gateway allows, and what it can reach."""

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidates import CandidateView


class Admitted:
    """Drops endpoints that Envoy does not know yet: a pick of one would be answered 503."""

    reason = "not yet known to the gateway"

    def keep(self, view: CandidateView) -> NDArray[np.bool_]:
        """True where the endpoint may be picked."""
        return view.table.admitted[view.candidates.rows]


class InSubset:
    """Drops endpoints outside the gateway's subset hint; addresses match exactly, port included."""

    reason = "outside the gateway's subset"

    def keep(self, view: CandidateView) -> NDArray[np.bool_] | None:
        """True where the hint names the address."""
        subset = view.subset
        if subset is None:
            return None
        return np.fromiter((target.address in subset for target in view.candidates.targets), np.bool_)
