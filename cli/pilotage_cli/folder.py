"""A folder of manifests as the source of configuration."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.load import Loaded, Resource, load_texts
from pilotage_api.settings import GatewaySettings

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 10_000
_MAX_FILE_BYTES = 16 << 20


class FolderError(ValueError):
    """The folder itself cannot be used; the message names it and the fix."""


def read_folder(folder: Path) -> tuple[list[tuple[str, str]], list[Finding]]:
    """`(file name, text)` of every manifest in a folder, and what could not be read. Raises FolderError."""
    if folder.is_file():
        paths = [folder]
    elif folder.is_dir():
        # ConfigMaps are mounted through links in hidden folders: names that start with a dot are skipped
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name[0] != ".")
    else:
        raise FolderError(f"{folder} does not exist: name a folder of manifests")
    if len(paths) > MAX_FILES:
        raise FolderError(f"{folder} has more than {MAX_FILES} manifests")
    texts, findings = [], []
    for path in paths:
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise ValueError(f"larger than {_MAX_FILE_BYTES} bytes")
            texts.append((path.name, path.read_text("utf-8")))
        except (OSError, ValueError) as error:
            reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            message = f"cannot be read: {reason}"
            findings.append(
                Finding(Severity.ERROR, "unreadable", message, None, "", "correct the file", path.name)
            )
    return texts, findings


def load_folder(folder: Path) -> Loaded:
    """Everything a folder holds. Raises FolderError."""
    texts, findings = read_folder(folder)
    loaded = load_texts(texts)
    loaded.findings[:0] = findings
    loaded.unreadable |= {finding.source for finding in findings}
    return loaded


@dataclass(slots=True)
class FolderSource:
    """Compiles a folder again when it changes; what is wrong keeps its last good form."""

    folder: Path
    settings: GatewaySettings
    _digest: bytes = b""
    _in_force: dict[ResourceKey, Resource] = field(default_factory=dict)
    _sources: dict[ResourceKey, str] = field(default_factory=dict)

    def changed(self) -> Compiled | None:
        """What the folder compiles to, or None if nothing changed since the last call. Raises FolderError."""
        texts, unreadable = read_folder(self.folder)
        digest = hashlib.sha256(repr((texts, unreadable)).encode()).digest()
        if digest == self._digest:
            return None
        self._digest = digest
        loaded = load_folder(self.folder)
        compiled = compile_resources(loaded, self.settings, self._in_force, self._sources)
        self._in_force = dict(compiled.in_force)
        self._sources = dict(loaded.sources)
        return compiled
