"""Rates of a model whose tokens cost the same with sound, and in a cache for however long."""

from pilotage_extproc.accounting.price import Rates


def plain_rates(read: int, cached: int, cache_write: int, output: int) -> Rates:
    """Femto-dollars a token."""
    return Rates(read, cached, cache_write, output, cache_write, read, output)
