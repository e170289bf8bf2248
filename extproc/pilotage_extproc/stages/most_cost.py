"""What a request can cost at most, at the dearest of its attempts."""

from pilotage_extproc.accounting.prices import Terms
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.token_bounds import Bounds, MostCost


def most_cost(bounds: Bounds, terms: Terms, clamp_at: int | None) -> MostCost:
    """What a request of these bounds can make and cost at most.

    Raises RequestRefused (400) where nothing says.
    """
    output = bounds.most_output(terms.output_bound(clamp_at))
    made = output * bounds.choices
    if terms.priced is None:
        message = "A hard budget needs the price of every model that may answer; one has none."
        raise RequestRefused(Refusal.COST_NOT_BOUNDED, message)
    read = [(bounds.most_input(window), price) for window, price in terms.priced]
    nano = max([price.most(tokens, made) for tokens, price in read])
    windows = [window for window, _ in terms.priced if window is not None]
    reach = None
    if len(windows) == len(terms.priced):
        reach = (max(windows) * bounds.prompts, max(windows) * bounds.choices)
    return MostCost(nano, output, bounds.choices, max([tokens for tokens, _ in read]), reach=reach)
