"""Facts of models from a price file in the common community format.

`model_prices_and_context_window.json`: an object by model, with prices in dollars a token
(`input_cost_per_token`), limits and `supports_…` flags (https://github.com/BerriAI/litellm).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
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
    "cacheWriteHourPerMillion": "cache_creation_input_token_cost_above_1hr",
    "audioInputPerMillion": "input_cost_per_audio_token",
    "outputPerMillion": "output_cost_per_token",
    "audioOutputPerMillion": "output_cost_per_audio_token",
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
_DIGITS: Final = re.compile(r"[0-9]{1,12}\Z")
_MOST_USD: Final = 100
"""A token: no model costs as much."""
_MOST_TOKENS: Final = 1_000_000_000
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


def facts_of(name: str, entry: Mapping[str, Any]) -> Facts:
    """What an entry says, as `spec.models[]` has it; what it does not say is left out.

    Raises CommandError, naming entry and field, for a number that no model can have.
    """
    return _Entry(name, entry).facts()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a price file. Text and null say nothing, as does what the format has no place for."""

    name: str
    fields: Mapping[str, Any]

    def facts(self) -> Facts:
        """As `spec.models[]` has them."""
        facts: Facts = {}
        window, answer = self._count("max_input_tokens"), self._count("max_output_tokens")
        if window is not None:
            facts["contextWindow"] = window
        if answer is not None and (window is None or answer <= window):
            facts["maxOutputTokens"] = answer
        if any(key in self.fields for key in _CAPABILITIES.values()):
            facts["capabilities"] = [
                name for name, key in _CAPABILITIES.items() if self.fields.get(key) is True
            ]
        pricing = self._pricing()
        if pricing is not None:
            facts["pricing"] = pricing
        return facts

    def _pricing(self) -> dict[str, Any] | None:
        prices = self._prices("")
        if "inputPerMillion" not in prices:
            return None
        bounds = sorted({int(found[1]) for key in self.fields if (found := _ABOVE.search(key))} - {0})
        tiers = [
            {"aboveInputTokens": bound * 1000, **of_tier}
            for bound in bounds
            if (of_tier := self._prices(f"_above_{bound}k_tokens"))
        ]
        return {**prices, **({"tiers": tiers} if tiers else {})}

    def _prices(self, suffix: str) -> dict[str, str]:
        found = {}
        for field, key in _PRICES.items():
            price = self._per_million(key + suffix)
            if price is not None:
                found[field] = price
        return found

    def _per_million(self, field: str) -> str | None:
        """Decimal text; None where it says no price."""
        price = self.fields.get(field)
        if isinstance(price, bool) or not isinstance(price, int | Decimal):
            return None
        if not 0 <= price <= _MOST_USD:
            raise self._error(field, price, f"a price is 0 to {_MOST_USD} dollars a token")
        text = f"{(abs(Decimal(price)) * _MILLION).quantize(_DECIMALS):f}"
        return text.rstrip("0").rstrip(".")

    def _count(self, field: str) -> int | None:
        """Tokens; the format has some numbers as text. None where it says no bound."""
        tokens = self.fields.get(field)
        if isinstance(tokens, str) and _DIGITS.match(tokens):
            tokens = int(tokens)
        if isinstance(tokens, bool) or not isinstance(tokens, int | Decimal) or tokens == 0:
            return None
        # a Decimal may have a million digits: its size is looked at before it becomes an int
        if not 0 < tokens <= _MOST_TOKENS or tokens != int(tokens):
            raise self._error(field, tokens, f"a number of tokens is whole, from 1 to {_MOST_TOKENS}")
        return int(tokens)

    def _error(self, field: str, value: int | Decimal, expected: str) -> CommandError:
        return CommandError(
            f"the price file's entry {self.name!r}: {field}: {Decimal(value):.6g}: {expected}; "
            "mend the entry, or take another one by --as MODEL=ENTRY"
        )
