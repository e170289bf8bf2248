"""Request headers that hold credentials: rules never read them."""

from typing import Final

CREDENTIAL_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "apikey",
        "x-goog-api-key",
        "x-goog-iam-authorization-token",
        "x-amz-security-token",
        "x-auth-token",
        "x-access-token",
        "x-csrf-token",
        "x-forwarded-client-cert",
    }
)
"""Lower case."""
_SUFFIXES: Final = ("-api-key", "-token", "-authorization", "-secret", "-password")


def is_credential(header: str) -> bool:
    """Whether a header, given in lower case, holds a credential by its name."""
    return header in CREDENTIAL_HEADERS or header.endswith(_SUFFIXES)
