"""Secrets in well-known forms: keys of services, private keys, JSON Web Tokens."""

from typing import Final

from pilotage_extproc.content.patterns import PatternDetector
from pilotage_extproc.content.spans import Span

_FORMS: Final = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,255}",
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"glpat-[A-Za-z0-9_-]{20,100}",
    r"xox[abeprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"xapp-[0-9]-[A-Za-z0-9-]{20,250}",
    r"sk-[A-Za-z0-9_-]{20,250}",  # OpenAI, Anthropic and others
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}",  # Stripe
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"ya29\.[A-Za-z0-9_-]{20,250}",
    r"GOCSPX-[A-Za-z0-9_-]{28}",
    r"hf_[A-Za-z0-9]{30,100}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-AgE[A-Za-z0-9_-]{50,250}",
    r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",  # SendGrid
    r"do[oprt]_v1_[a-f0-9]{64}",
    r"dckr_pat_[A-Za-z0-9_-]{20,100}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"hvs\.[A-Za-z0-9_-]{24,250}",  # Vault
    r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",  # JWT
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
)
_HINT: Final = (
    r"A(?:KIA|SIA|BIA|CCA|Iza|GE-S)|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|xapp-|sk-|[rs]k_|ya29|GOCSPX|hf_"
    r"|npm_|pypi-|SG\.|_v1_|dckr_|shp|hvs\.|eyJ|-----BEGIN"
)
_BEGIN: Final = b"-----BEGIN"
_END: Final = b"-----END"
_DASHES: Final = b"-----"
_MOST_KEY: Final = 16 * 1024
_WORD: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")


def _secret(text: bytes, start: int, end: int) -> Span | None:
    if text[start : start + len(_BEGIN)] == _BEGIN:
        return Span(start, _key_end(text, end))
    return None if start and text[start - 1] in _WORD else Span(start, end)


def _key_end(text: bytes, at: int) -> int:
    """Behind the line that ends a private key; of one that is cut short, the end of what is there."""
    end = text.find(_END, at, at + _MOST_KEY)
    if end < 0:
        return min(len(text), at + _MOST_KEY)
    last = text.find(_DASHES, end + len(_END), end + 80)
    return end + len(_END) if last < 0 else last + len(_DASHES)


def secret() -> PatternDetector:
    """The detector."""
    return PatternDetector("secret", "|".join(_FORMS), _secret, hint=_HINT)
