"""A folder of manifests as the source of configuration."""

from dataclasses import dataclass, field
from pathlib import Path

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.compiled_policies import CompiledPolicies
from pilotage_api.findings import Finding, Severity
from pilotage_api.in_force import InForce
from pilotage_api.load import SETTINGS_KEY, Loaded, load_texts
from pilotage_api.resource import DEFAULT_NAMESPACE
from pilotage_api.settings import GatewaySettings
from pilotage_api.text_loader import TextLoader
from pilotage_cli.folder_files import FolderFiles, Text
from pilotage_extproc.scheduling.plugins import installed_plugins


def load_folder(folder: Path, namespace: str = DEFAULT_NAMESPACE) -> Loaded:
    """Everything a folder holds; what names no namespace is in this one. Raises FolderError."""
    texts, unreadable = FolderFiles(folder).read()
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
    _files: FolderFiles = field(init=False)
    _read: tuple[list[Text], list[Finding]] | None = None
    _texts: TextLoader = field(default_factory=TextLoader)
    _policies: CompiledPolicies = field(default_factory=CompiledPolicies)
    _last_good: InForce = field(default_factory=InForce)
    _first_settings: GatewaySettings | None = None

    def __post_init__(self) -> None:
        """Reads nothing yet."""
        self._files = FolderFiles(self.folder)

    def changed(self) -> Compiled | None:
        """What the folder compiles to, or None if nothing changed since the last call. Raises FolderError."""
        texts, unreadable = read = self._files.read()
        if read == self._read:
            return None
        loaded = self._texts.load(texts)
        loaded.add_unread(unreadable)
        self._find_changed_settings(loaded, first=self._read is None)
        compiled = compile_resources(
            loaded,
            self.settings,
            self._last_good,
            earlier=self._policies,
            installed=frozenset(installed_plugins()),
        )
        self._last_good, self._policies = compiled.in_force, compiled.policies
        self._read = read
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
