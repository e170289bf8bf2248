"""A folder of manifests as the source of configuration."""

import hashlib
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.compiled_policies import CompiledPolicies
from pilotage_api.document import MAX_TEXT_BYTES
from pilotage_api.findings import Finding, Severity
from pilotage_api.in_force import InForce
from pilotage_api.load import SETTINGS_KEY, Loaded, load_texts
from pilotage_api.resource import DEFAULT_NAMESPACE
from pilotage_api.settings import GatewaySettings
from pilotage_api.text_loader import TextLoader
from pilotage_extproc.scheduling.plugins import installed_plugins

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 10_000
MAX_FOLDER_BYTES = 64 << 20


class FolderError(ValueError):
    """The folder itself cannot be used; the message names it and the fix."""


def read_folder(folder: Path) -> tuple[list[tuple[str, str]], list[Finding]]:
    """`(file name, text)` of every manifest in a folder, and what could not be read. Raises FolderError."""
    texts, findings, total = [], [], 0
    for path in _manifests(folder):
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a FIFO waits for somebody to write into it
                raise ValueError("not a regular file")
            size = status.st_size
            if size > MAX_TEXT_BYTES:
                raise ValueError(f"larger than {MAX_TEXT_BYTES} bytes")
            total += size
            if total > MAX_FOLDER_BYTES:
                raise FolderError(f"{folder} holds more than {MAX_FOLDER_BYTES} bytes of manifests")
            texts.append((path.name, path.read_text("utf-8-sig")))
        except FolderError:
            raise
        except (OSError, ValueError) as error:
            reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            message = f"cannot be read: {reason}"
            findings.append(
                Finding(Severity.ERROR, "unreadable", message, None, "", "correct the file", path.name)
            )
    return texts, findings


def _manifests(folder: Path) -> list[Path]:
    try:
        if folder.is_file():
            return [folder]
        if not folder.is_dir():
            raise FolderError(f"{folder} does not exist: name a folder of manifests")
        # ConfigMaps are mounted through links in hidden folders: names that start with a dot are skipped
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name[0] != ".")
        paths = [path for path in paths if not path.is_dir()]
    except OSError as error:
        raise FolderError(f"{folder} cannot be read: {error.strerror}") from None
    if len(paths) > MAX_FILES:
        raise FolderError(f"{folder} has more than {MAX_FILES} manifests")
    return paths


def load_folder(folder: Path, namespace: str = DEFAULT_NAMESPACE) -> Loaded:
    """Everything a folder holds; what names no namespace is in this one. Raises FolderError."""
    texts, unreadable = read_folder(folder)
    loaded = load_texts(texts, namespace)
    loaded.add_unread(unreadable)
    return loaded


@dataclass(slots=True)
class FolderSource:
    """Compiles a folder again when it changes; an invalid edit keeps the last-known-good revision.

    An edit costs the files that it touches, and the policies in them.
    """

    folder: Path
    settings: GatewaySettings
    _digest: bytes = b""
    _texts: TextLoader = field(default_factory=TextLoader)
    _policies: CompiledPolicies = field(default_factory=CompiledPolicies)
    _last_good: InForce = field(default_factory=InForce)
    _first_settings: GatewaySettings | None = None

    def changed(self) -> Compiled | None:
        """What the folder compiles to, or None if nothing changed since the last call. Raises FolderError."""
        texts, unreadable = read_folder(self.folder)
        digest = hashlib.sha256(repr((texts, unreadable)).encode("utf-8", "replace")).digest()
        if digest == self._digest:
            return None
        loaded = self._texts.load(texts)
        loaded.add_unread(unreadable)
        self._find_changed_settings(loaded, first=not self._digest)
        compiled = compile_resources(
            loaded,
            self.settings,
            self._last_good,
            earlier=self._policies,
            installed=frozenset(installed_plugins()),
        )
        self._last_good, self._policies = compiled.in_force, compiled.policies
        self._digest = digest
        return compiled

    def _find_changed_settings(self, loaded: Loaded, *, first: bool) -> None:
        """Settings are read once, at the start: a change that does nothing must be reported."""
        if first:
            self._first_settings = loaded.settings
            return
        wrong = SETTINGS_KEY in loaded.refused or (loaded.settings is None and loaded.unreadable)
        if loaded.settings != self._first_settings and not wrong:
            message = "changed since the start; the old settings stay in force"
            loaded.find(Severity.WARNING, "settings-changed", message, SETTINGS_KEY, "spec", "start again")
