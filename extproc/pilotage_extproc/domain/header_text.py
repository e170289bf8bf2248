"""Names as parts of a response header."""

from urllib.parse import quote

_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"
"""Visible ASCII but what separates parts or quotes: `;`, `,`, `"`, `%`, the backslash and the space."""


def quoted(name: str) -> str:
    """A name that ends no header and no part of one: everything else percent-encoded, as UTF-8."""
    return quote(name, safe=_SAFE)
