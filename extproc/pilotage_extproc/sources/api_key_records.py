"""API keys as they are kept: a hash, and who holds it. In a file, or one in each Secret."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from pilotage_extproc.state.api_keys import ApiKey

_HASH_DIGITS: Final = 64
_LONGEST_NAME: Final = 256
MOST_KEYS: Final = 100_000


class KeyFault(ValueError):
    """Keys that cannot be read; the message names the record and never holds a key or hash."""


class KeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key in a file."""

    id: str
    sha256: str
    """Of the key, 64 hex digits."""
    tenant: str
    team: str = ""
    expires: str = ""
    """RFC 3339, UTC; empty is never."""
    created: str = ""

    def key(self) -> ApiKey:
        """The record, checked. Raises KeyFault."""
        try:
            digest = bytes.fromhex(self.sha256)
        except ValueError:
            digest = b""
        if len(digest) * 2 != _HASH_DIGITS:
            raise KeyFault(f"key {self.id[:64]!r}: sha256 must be {_HASH_DIGITS} hex digits")
        for name, text in (("id", self.id), ("tenant", self.tenant)):
            if not text or len(text) > _LONGEST_NAME or not text.isprintable():
                raise KeyFault(f"key {self.id[:64]!r}: {name} must be a name")
        return ApiKey(self.id, digest, self.tenant, self.team, _epoch(self.expires, self.id))


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of keys."""

    keys: tuple[KeyRecord, ...] = ()


def read_key_file(text: bytes) -> KeyFile:
    """The records of a file. Raises KeyFault."""
    try:
        found = msgspec.json.decode(text, type=KeyFile)
    except msgspec.DecodeError as error:
        raise KeyFault(f"is no file of keys: {error}") from None
    ids = [one.id for one in found.keys]
    if len(set(ids)) != len(ids):
        raise KeyFault("two keys have one id")
    if len(ids) > MOST_KEYS:
        raise KeyFault(f"holds more than {MOST_KEYS} keys")
    return found


def key_file_text(file: KeyFile) -> str:
    """The file's content, one key a few lines, as people read it."""
    return json.dumps(msgspec.to_builtins(file), indent=1) + "\n"


def key_of_secret(name: str, data: Mapping[str, str]) -> ApiKey:
    """The key of a Secret's `data`. Raises KeyFault."""

    def value(field: str) -> str:
        try:
            return base64.b64decode(data.get(field, ""), validate=True).decode().strip()
        except (binascii.Error, ValueError):
            raise KeyFault(f"key {name!r}: {field} is no text in base64") from None

    return KeyRecord(name, value("sha256"), value("tenant"), value("team"), value("expires")).key()


def secret_data(record: KeyRecord) -> dict[str, Any]:
    """`stringData` of the Secret of a key."""
    fields = {
        "sha256": record.sha256,
        "tenant": record.tenant,
        "team": record.team,
        "expires": record.expires,
    }
    return {name: value for name, value in fields.items() if value}


def _epoch(text: str, key_id: str) -> float | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise KeyFault(f"key {key_id[:64]!r}: expires must be a time such as 2027-01-31T00:00:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
