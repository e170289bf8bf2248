"""How long a server asks to be left alone, by the headers of its answer.

`Retry-After` (RFC 9110, section 10.2.3) in seconds or as a date; OpenAI's `x-ratelimit-*` with spans such as
`1m30s`; Anthropic's `anthropic-ratelimit-*` with RFC 3339 times.
"""

import datetime as dt
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER: Final = "retry-after"
RETRY_AFTER_MS: Final = "retry-after-ms"
_KINDS: Final = ("requests", "tokens")
_OPENAI: Final = tuple((f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}") for kind in _KINDS)
_ANTHROPIC: Final = tuple(
    (f"anthropic-ratelimit-{kind}-remaining", f"anthropic-ratelimit-{kind}-reset")
    for kind in (*_KINDS, "input-tokens", "output-tokens")
)
HEADERS: Final = (
    RETRY_AFTER,
    RETRY_AFTER_MS,
    *(name for pair in (*_OPENAI, *_ANTHROPIC) for name in pair),
)
"""Response headers that are read, in lower case."""
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?\Z")


def stay_away_seconds(headers: Mapping[str, str], utc_now: dt.datetime) -> float | None:
    """Seconds from now; None where the headers do not say. What cannot be read counts as not said."""
    asked = headers.get(RETRY_AFTER_MS, "")
    if _NUMBER.match(asked):
        return float(asked) / 1000
    said = headers.get(RETRY_AFTER)
    if said is not None:
        return float(said) if _NUMBER.match(said) else _until(said, utc_now)
    spans = [_span(headers.get(reset, "")) for left, reset in _OPENAI if headers.get(left) == "0"]
    times = [headers.get(reset, "") for left, reset in _ANTHROPIC if headers.get(left) == "0"]
    found = [*spans, *(_until(time, utc_now) for time in times)]
    return max((one for one in found if one is not None), default=None)


def _span(text: str) -> float | None:
    """Of `1m30s` or `20ms`."""
    if not text or len(text) > 64 or _SPAN.sub("", text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _SPAN.findall(text))


def _until(text: str, utc_now: dt.datetime) -> float | None:
    """To an HTTP date, or one of RFC 3339; never less than 0."""
    if not text or len(text) > 64:
        return None
    try:
        at = dt.datetime.fromisoformat(text) if text[0].isdigit() else parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return max(0.0, (at - utc_now).total_seconds())
