"""Where providers' credentials are outside a cluster: files, and environment variables.

Envoy reads the files itself. Here they are only looked at, to say early what is wrong with them; no value is
kept. A variable's value is written into a private file once, since Envoy shares no environment with pickers.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 16 << 10


class CredentialError(ValueError):
    """A credential that cannot be used; the message never holds it."""

    def __init__(self, message: str, reason: str = "CredentialMissing") -> None:
        """`reason` is one word, as conditions have it."""
        super().__init__(message)
        self.reason = reason


def checked_credential(value: bytes, what: str) -> str:
    """The text of a credential, without one trailing newline. Raises CredentialError."""
    for end in (b"\r\n", b"\n"):
        if value.endswith(end):
            value = value[: -len(end)]
            break
    if not value:
        raise CredentialError(f"{what} is empty")
    if len(value) > _MOST_BYTES:
        raise CredentialError(f"{what} is longer than {_MOST_BYTES} bytes: it is no credential")
    if b"\n" in value or b"\r" in value:
        raise CredentialError(f"{what} has more than one line")
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError:
        raise CredentialError(f"{what} has characters that no header can hold") from None
    if not text.isprintable() or text != text.strip():
        raise CredentialError(f"{what} has blanks at an end, or characters that no header can hold")
    return text


class CredentialFiles:
    """Files that Envoy reads, by where a credential is said to be."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._folder: Path | None = None

    def of_file(self, file: str) -> str:
        """A link to the file, another one as soon as the file is another. Raises CredentialError.

        Envoy notices by itself what is moved to a file's place, and not what is written into it: told of
        another name it reads the file again.
        """
        try:
            with Path(file).open("rb") as opened:
                content = opened.read(_MOST_BYTES + 3)
                state = os.fstat(opened.fileno())
        except OSError as error:
            raise CredentialError(f"{file} cannot be read: {error.strerror}") from None
        checked_credential(content, file)
        seen = f"{file}\0{state.st_ino}\0{state.st_size}\0{state.st_mtime_ns}"
        link = self._private() / hashlib.sha256(seen.encode()).hexdigest()[:16]
        if not link.is_symlink():
            link.symlink_to(Path(file).absolute())
        return str(link)

    def of_variable(self, variable: str) -> str:
        """A private file with an environment variable's value. Raises CredentialError."""
        value = self._environment.get(variable)
        if value is None:
            raise CredentialError(f"the environment has no variable {variable}")
        text = checked_credential(value.encode(errors="surrogateescape"), f"the variable {variable}")
        path = self._private() / variable
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(text)
        return str(path)

    def _private(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pilotage-credentials-"))  # of mode 0700
        return self._folder

    def close(self) -> None:
        """Remove what was written."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
