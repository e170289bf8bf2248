"""The manifests of a folder, as text."""

import os
import stat
import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

from pilotage_api.document import MAX_TEXT_BYTES
from pilotage_api.findings import Finding, Severity

SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_FILES: Final = 10_000
MAX_FOLDER_BYTES: Final = 64 << 20
_SETTLED_NS: Final = 3_000_000_000
"""A file system's clock may tick as slowly as every two seconds: what was changed this lately may be changed
again without a mark."""

Text = tuple[str, str]
"""File name and text."""


class FolderError(ValueError):
    """The folder itself cannot be used; the message names it and the fix."""


class _Known(NamedTuple):
    mark: tuple[int, ...]
    text: Text


class FolderFiles:
    """Reads a folder, or one file, again and again; a file that has not been touched is read once."""

    def __init__(self, folder: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        """`now_ns` is the time of the day as files are marked with it."""
        self._folder = folder
        self._now_ns = now_ns
        self._known: dict[str, _Known] = {}

    def read(self) -> tuple[list[Text], list[Finding]]:
        """The text of every manifest, and what could not be read. Raises FolderError."""
        texts, findings, total, known = [], [], 0, {}
        now_ns = self._now_ns()
        for file in self._manifests():
            path, name = os.fspath(file), file.name
            try:
                status = file.stat()
                size = _usable_size(status)
                total += size
                if total > MAX_FOLDER_BYTES:
                    raise FolderError(f"{self._folder} holds more than {MAX_FOLDER_BYTES} bytes of manifests")
                mark, before = _mark(status), self._known.get(path)
                if before is not None and before.mark == mark:
                    text = before.text
                else:
                    text = name, Path(path).read_text("utf-8-sig")
                if now_ns - status.st_ctime_ns > _SETTLED_NS:
                    known[path] = _Known(mark, text)
                texts.append(text)
            except FolderError:
                raise
            except (OSError, ValueError) as error:
                reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
                message = f"cannot be read: {reason}"
                findings.append(
                    Finding(Severity.ERROR, "unreadable", message, None, "", "correct the file", name)
                )
        self._known = known
        return texts, findings

    def _manifests(self) -> Sequence[Path | os.DirEntry[str]]:
        """By name."""
        folder = self._folder
        try:
            if folder.is_file():
                return [folder]
            if not folder.is_dir():
                raise FolderError(f"{folder} does not exist: name a folder of manifests")
            with os.scandir(folder) as entries:
                found = [one for one in entries if _is_manifest(one)]
        except OSError as error:
            raise FolderError(f"{folder} cannot be read: {error.strerror}") from None
        if len(found) > MAX_FILES:
            raise FolderError(f"{folder} has more than {MAX_FILES} manifests")
        return sorted(found, key=attrgetter("name"))


def _is_manifest(entry: os.DirEntry[str]) -> bool:
    # ConfigMaps are mounted through links in hidden folders: names that start with a dot are skipped
    return entry.name.endswith(SUFFIXES) and entry.name[0] != "." and not entry.is_dir()


def _usable_size(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):  # opening a FIFO waits for somebody to write into it
        raise ValueError("not a regular file")
    if status.st_size > MAX_TEXT_BYTES:
        raise ValueError(f"larger than {MAX_TEXT_BYTES} bytes")
    return status.st_size


def _mark(status: os.stat_result) -> tuple[int, ...]:
    """Changes with the file: no program sets the time of the last change of its inode."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
