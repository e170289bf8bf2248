"""What takes effect when something is wrong: the last-known-good revision of a resource stays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.load import Loaded, Resource
from pilotage_api.naming import HeldNames


@dataclass(slots=True, frozen=True)
class InForce:
    """The resources and namespaces that take effect, and the files they came from."""

    resources: Mapping[ResourceKey, Resource] = field(default_factory=dict)
    namespace_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[ResourceKey, str] = field(default_factory=dict)
    held_names: HeldNames = field(default_factory=HeldNames)
    """Since when each pool means what by a name; decides where files, which have no age, disagree."""


def taking_effect(loaded: Loaded, last: InForce) -> tuple[InForce, list[Finding]]:
    """What was loaded; the last-known-good revision of what is invalid now or may be in an unreadable file.

    A resource that is simply gone does not stay.
    """
    resources = dict(loaded.resources)
    labels: dict[str, Mapping[str, str]] = dict(loaded.namespace_labels)
    files = {key: origin.file for key, origin in loaded.origins.items()}
    findings = []

    def lost(key: ResourceKey) -> bool:
        if key in loaded.origins:
            return key in loaded.refused
        return last.files.get(key, "") in loaded.unreadable

    for key, resource in last.resources.items():
        if key not in resources and lost(key):
            resources[key] = resource
            files[key] = last.files.get(key, "")
            message = "is invalid as it stands now; its last-known-good revision stays in force"
            source = loaded.at(key) or files[key]
            findings.append(Finding(Severity.WARNING, "last-good", message, key, "", "correct it", source))
    for name, found in last.namespace_labels.items():
        key = ResourceKey("Namespace", "", name)
        if name not in labels and lost(key):
            labels[name] = found
            files[key] = last.files.get(key, "")
    return InForce(resources, labels, files, last.held_names), findings
