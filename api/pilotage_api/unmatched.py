"""Parts of a policy's match that no request ever fits."""

import difflib
from collections.abc import Iterator

from pilotage_api.arriving_headers import obstacle
from pilotage_api.calls import INFERENCE_PATHS, is_under
from pilotage_api.resource import Problem
from pilotage_api.routepolicy import Match, PathRule

_CODE = "never-matches"


def unmatched(match: Match) -> Iterator[Problem]:
    """Paths that are no call's, and headers that do not arrive."""
    for index, path in enumerate(match.paths):
        if not _fits_a_call(path):
            near = difflib.get_close_matches(path.value.rstrip("/"), INFERENCE_PATHS, n=1)
            fix = f"did you mean {near[0]}?" if near else f"the calls are {', '.join(INFERENCE_PATHS)}"
            only = " and the policy never applies" if len(match.paths) == 1 else ""
            yield Problem(_CODE, f"paths[{index}]", f"no inference call has this path{only}", fix)
    for index, header in enumerate(match.headers):
        found = obstacle(header.name, header.value)
        if found is not None:
            yield Problem(_CODE, f"headers[{index}].name", found.message, found.fix)


def _fits_a_call(path: PathRule) -> bool:
    if path.type == "Exact":
        return path.value in INFERENCE_PATHS
    return any(is_under(call, path.value) for call in INFERENCE_PATHS)
