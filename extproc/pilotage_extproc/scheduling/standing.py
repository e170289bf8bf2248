"""What endpoints' figures are worth to a profile: kept from one request to the next.

Between two requests the figures of few endpoints change: of those that got a request, ended one, or were
scraped. Only these are measured anew, one by one; what depends on the request comes on top. A request's
prompt is mostly held by few endpoints: it is worth the same at all others.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.scheduling.profile import Profile
from pilotage_extproc.state.endpoints import SCRAPED_AT, EndpointTable

_MOST_CANDIDATES: Final = 200_000
"""Of all that is kept together: some 120 bytes each."""
_AS_CANDIDATES: Final = 8
"""What a list costs beside its candidates."""


class Scores(NamedTuple):
    """What candidates are worth to a request."""

    terms: NDArray[np.float64]
    """One row a scorer of the profile, in its unit."""
    total: NDArray[np.float64]
    """The weighted sum of what they are worth."""
    scraped_at: NDArray[np.float64]
    """When figures were scraped, as the view's."""


class Standing:
    """The measures of one list of rows, each of which stands there once, by one profile's scorers."""

    def __init__(self, rows: NDArray[np.intp], profile: Profile) -> None:
        """Measures nothing yet."""
        self.rows = rows
        self._profile = profile
        self._at = dict(zip(rows.tolist(), range(len(rows)), strict=True))
        """Candidate by row."""
        self._terms = np.zeros((len(profile.scorers), len(rows)))
        """As `Scores.terms`; 0 for what is measured by request."""
        self._worth = np.zeros(len(rows))
        self._scraped_at = np.zeros(len(rows))
        self._none_scraped = True
        """Whether no engine says anything, else all do."""
        self._changes = -1
        """Of the table, up to which all has been measured; -1 is not at all."""

    def measured(self, table: EndpointTable) -> bool:
        """Measure what has changed; False where figures of some are missing: `CandidateView` assumes them."""
        if table.changes == self._changes:
            return True
        changed = None if self._changes < 0 else table.changed_since(self._changes)
        if (changed is None or not self._measure(table, changed)) and not self._measure_all(table):
            self._changes = -1
            return False
        self._changes = table.changes
        return True

    def _measure(self, table: EndpointTable, changed: set[int]) -> bool:
        """Measure these rows; False where others have to be, as more is known or less."""
        at_row, terms = self._at, self._terms
        for row in changed:
            at = at_row.get(row)
            if at is None:
                continue
            figures = table.figures[:, row].tolist()
            scraped_at = figures[SCRAPED_AT]
            if (scraped_at == -np.inf) is not self._none_scraped:
                return False
            worth = 0.0
            for index, scorer, half, numerator in self._profile.standing:
                measure = terms[index, at] = scorer.of_row(figures)
                worth += numerator / (half + measure)
            self._worth[at] = worth
            self._scraped_at[at] = scraped_at
        return True

    def _measure_all(self, table: EndpointTable) -> bool:
        figures = table.figures.take(self.rows, axis=1)
        scraped_at = figures[SCRAPED_AT]
        known = np.count_nonzero(scraped_at > -np.inf)
        if 0 < known < len(scraped_at):
            return False
        self._none_scraped, self._scraped_at = not known, scraped_at.copy()
        self._worth = np.zeros(len(scraped_at))
        for index, scorer, half, numerator in self._profile.standing:
            column = self._terms[index] = scorer.of_rows(figures)
            self._worth += numerator / (half + column)
        return True

    def scored(self, view: CandidateView) -> Scores:
        """What they are worth to a request, once all is measured."""
        profile, request, held, at_row = self._profile, view.request, view.held, self._at
        terms, worth, of_all = self._terms.copy(), self._worth, 0.0
        of_prompt, by_candidate = profile.of_prompt, profile.varying
        if held is None:  # by many: told by candidate too
            held, of_prompt, by_candidate = {}, (), profile.of_request
        for index, scorer, half, numerator in by_candidate:
            column = scorer.score(view)
            if column is None:
                of_all += numerator / half
            else:
                terms[index] = column
                worth = worth + numerator / (half + column)
        more: list[tuple[int, float]] = []
        for index, reader, half, numerator in of_prompt:
            terms[index] = none = reader.of_held(request, 0.0)
            of_none = numerator / (half + none)
            of_all += of_none
            for row, cached_bytes in held.items():
                at = at_row.get(row)
                if at is not None:
                    measure = terms[index, at] = reader.of_held(request, cached_bytes)
                    more.append((at, numerator / (half + measure) - of_none))
        total = worth + of_all
        for at, by in more:
            total[at] += by
        return Scores(terms, total, self._scraped_at.copy())


class Standings:
    """By rows and profile; what has been kept longest is dropped first."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, Profile], Standing] = OrderedDict()
        self._candidates = 0

    def scored(self, view: CandidateView, profile: Profile) -> Scores | None:
        """What candidates are worth; None where each scorer has to be asked for all of them."""
        candidates = view.candidates
        if profile.may_be_unknown or candidates.rows_repeat:
            return None
        standing = self._known.get((id(candidates.rows), profile))  # rows are kept: none gets their id
        if standing is None:
            standing = self._kept(candidates, profile)
        return standing.scored(view) if standing.measured(view.table) else None

    def __len__(self) -> int:
        return len(self._known)

    def _kept(self, candidates: CandidateSet, profile: Profile) -> Standing:
        rows = candidates.rows
        standing = self._known[id(rows), profile] = Standing(rows, profile)
        self._candidates += len(rows) + _AS_CANDIDATES
        while self._candidates > _MOST_CANDIDATES and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._candidates -= len(oldest.rows) + _AS_CANDIDATES
        return standing
