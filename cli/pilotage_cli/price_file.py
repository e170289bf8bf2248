"""Facts of models from a price file in the common community format.

`model_prices_and_context_window.json`: an object by model, with prices in dollars a token
(`input_cost_per_token`), limits and `supports_…` flags (https://github.com/BerriAI/litellm).
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pilotage_cli.failure import CommandError

Facts = dict[str, Any]
"""Fields of `spec.models[]`, in the order they are written."""

_MILLION: Final = 1_000_000
_PRICES: Final = {
    "inputPerMillion": "input_cost_per_token",
    "cachedInputPerMillion": "cache_read_input_token_cost",
    "cacheWritePerMillion": "cache_creation_input_token_cost",
    "outputPerMillion": "output_cost_per_token",
}
_ABOVE: Final = re.compile(r"_above_([0-9]{1,6})k_tokens\Z")
_CAPABILITIES: Final = {
    "tools": "supports_function_calling",
    "json": "supports_response_schema",
    "vision": "supports_vision",
    "audio": "supports_audio_input",
    "reasoning": "supports_reasoning",
}
_DECIMALS: Final = Decimal("0.000000001")
_MOST_BYTES: Final = 64 * 1024 * 1024


def read_price_file(path: Path) -> dict[str, Mapping[str, Any]]:
    """The entries by model. Raises CommandError where it is no such file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CommandError(f"{path} is larger than {_MOST_BYTES >> 20} MiB: no price file is")
        found = json.loads(path.read_bytes(), parse_float=Decimal)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise CommandError(f"{path} is no price file: an object by model is expected")
    return {name: entry for name, entry in found.items() if isinstance(entry, dict)}


def entry_of(entries: Mapping[str, Mapping[str, Any]], names: list[str]) -> str | None:
    """Under which name an entry stands: of the model itself, else the only one of some provider."""
    for name in names:
        if name in entries:
            return name
    for name in names:
        found = [key for key in entries if key.rpartition("/")[2] == name.rpartition("/")[2]]
        if len(found) == 1:
            return found[0]
    return None


def facts_of(entry: Mapping[str, Any]) -> Facts:
    """What an entry says, as `spec.models[]` has it; what it does not say is left out."""
    facts: Facts = {}
    window, answer = _count(entry.get("max_input_tokens")), _count(entry.get("max_output_tokens"))
    if window is not None:
        facts["contextWindow"] = window
    if answer is not None and (window is None or answer <= window):
        facts["maxOutputTokens"] = answer
    if any(key in entry for key in _CAPABILITIES.values()):
        facts["capabilities"] = [name for name, key in _CAPABILITIES.items() if entry.get(key) is True]
    pricing = _pricing(entry)
    if pricing is not None:
        facts["pricing"] = pricing
    return facts


def _pricing(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    prices = _prices(entry, "")
    if "inputPerMillion" not in prices:
        return None
    bounds = sorted({int(found[1]) for key in entry if (found := _ABOVE.search(key))})
    tiers = [
        {"aboveInputTokens": bound * 1000, **of_tier}
        for bound in bounds
        if (of_tier := _prices(entry, f"_above_{bound}k_tokens"))
    ]
    return {**prices, **({"tiers": tiers} if tiers else {})}


def _prices(entry: Mapping[str, Any], suffix: str) -> dict[str, str]:
    found = {}
    for field, key in _PRICES.items():
        price = _per_million(entry.get(key + suffix))
        if price is not None:
            found[field] = price
    return found


def _per_million(price: Any) -> str | None:
    """Decimal text; None where it is no price."""
    if isinstance(price, bool) or not isinstance(price, int | Decimal) or price < 0:
        return None
    dollars = (Decimal(price) * _MILLION).quantize(_DECIMALS)
    text = f"{dollars:f}"
    return text.rstrip("0").rstrip(".")


def _count(tokens: Any) -> int | None:
    """The format has some numbers as text."""
    if isinstance(tokens, str) and tokens.isdigit():
        tokens = int(tokens)
    whole = isinstance(tokens, int | Decimal) and not isinstance(tokens, bool) and tokens == int(tokens)
    return int(tokens) if whole and tokens > 0 else None
