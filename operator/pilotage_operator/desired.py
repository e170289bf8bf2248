"""What should be in force: resources compiled, with the last-known-good revision of what is invalid now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pilotage_api.compile import compile_resources
from pilotage_api.compiled_policies import CompiledPolicies
from pilotage_api.findings import Finding, ResourceKey
from pilotage_api.in_force import InForce
from pilotage_api.load import Loaded, Resource, load_objects
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_operator.resource_revision import Form

NamespaceLabels = Mapping[str, Mapping[str, str]]


@dataclass(slots=True, frozen=True)
class Desired:
    """A snapshot, and what became of each resource on the way to it."""

    snapshot: RoutingSnapshot
    forms: Mapping[ResourceKey, Form]
    """The form of each resource that is in force."""
    refused: frozenset[ResourceKey]
    """Resources that are wrong as they stand now."""
    findings: Mapping[ResourceKey, tuple[Finding, ...]]
    others: tuple[Finding, ...] = ()
    """About no resource: the settings."""


class Compiler:
    """Compiles forms; remembers which it has read and compiled, so that an edit costs one of each.

    Not for several threads at once.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._read: dict[Form, Loaded] = {}
        self._policies = CompiledPolicies()

    @property
    def remembered(self) -> frozenset[ResourceKey]:
        """The policies whose outcome is kept."""
        return frozenset(self._policies.by_key)

    def compile(
        self, forms: Iterable[Form], labels: NamespaceLabels, last_good: Mapping[ResourceKey, Form]
    ) -> Desired:
        """What these resources mean; `last_good` is what was in force before."""
        now = {form.key: form for form in forms}
        loaded = self._load(now, labels)
        usable = self._usable(now, loaded, last_good)
        before = InForce(
            {key: resource for key, (_, resource) in usable.items()},
            {name: dict(labels[name]) for name in labels},
        )
        compiled = compile_resources(loaded, self._settings, before, earlier=self._policies, in_cluster=True)
        self._policies = compiled.policies
        in_force = {
            key: usable[key][0] if key in compiled.refused else now[key]
            for key in compiled.in_force.resources
        }
        grouped: dict[ResourceKey, list[Finding]] = {}
        others = []
        for finding in compiled.findings:
            if finding.resource in now:
                grouped.setdefault(finding.resource, []).append(finding)
            else:
                others.append(finding)
        return Desired(
            compiled.snapshot,
            in_force,
            compiled.refused & now.keys(),
            {key: tuple(found) for key, found in grouped.items()},
            tuple(others),
        )

    def _load(self, now: Mapping[ResourceKey, Form], labels: NamespaceLabels) -> Loaded:
        read = {form: self._read.get(form) or _load_one(form) for form in now.values()}
        self._read = read
        whole = Loaded(namespace_labels={name: dict(found) for name, found in labels.items()})
        for one in read.values():
            whole.add(one)
        return whole

    def _usable(
        self, now: Mapping[ResourceKey, Form], loaded: Loaded, last_good: Mapping[ResourceKey, Form]
    ) -> dict[ResourceKey, tuple[Form, Resource]]:
        """Last good forms of what is wrong now; never those of a former resource of that name."""
        usable = {}
        for key in loaded.refused:
            form = last_good.get(key)
            if form is not None and key in now and form.uid == now[key].uid:
                resource = _load_one(form).resources.get(key)
                if resource is not None:
                    usable[key] = (form, resource)
        return usable


def _load_one(form: Form) -> Loaded:
    return load_objects([form.as_object()])
