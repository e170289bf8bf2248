"""The key of placeholders, as the settings name it."""

import hashlib
import secrets
from pathlib import Path
from typing import Final

from pilotage_api.content_settings import ContentSettings

_LEAST_BYTES: Final = 32


def placeholder_key(settings: ContentSettings) -> bytes:
    """The key in the file that the settings name, else one of this process alone.

    Raises ValueError for a file that is too short, OSError for one that cannot be read.
    """
    if settings.placeholder_key_file is None:
        return secrets.token_bytes(_LEAST_BYTES)
    key = Path(settings.placeholder_key_file).read_bytes().strip()
    if len(key) < _LEAST_BYTES:
        what = f"governance.content.placeholderKeyFile: {len(key)} bytes are too few"
        raise ValueError(f"{what}: write at least {_LEAST_BYTES}")
    return hashlib.blake2b(key, digest_size=32).digest()
