"""What manifests ask for that the gateway in front cannot do."""

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import BaseModel

from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.gateways import FEATURES, Feature, Gateway, Held, Support
from pilotage_api.validation import join_path

_FOUND: Final = {
    Support.NO: (Severity.ERROR, "not-under-gateway"),
    Support.PARTLY: (Severity.WARNING, "partly-under-gateway"),
    Support.DEPENDS: (Severity.INFO, "depends-on-gateway"),
}
_CALLED: Final = {
    Gateway.OTHER: "another gateway",
    Gateway.INFERENCE_POOL: "the port of an InferencePool",
}


def find_under_gateway(
    gateway: Gateway, resources: Iterable[tuple[ResourceKey, BaseModel]], find: Find
) -> None:
    """Each feature asked for that does not work under this gateway, or not in full.

    `resources` are keys and specs. A resource of which nothing works is told once.
    """
    if gateway is Gateway.BUNDLED:
        return
    for key, spec in resources:
        for feature, path in _asked_for(key.kind, spec, gateway):
            held = feature.under(gateway)
            severity, code = _FOUND[held.support]
            find(severity, code, _message(held, gateway), key, f"spec.{path}", _fix(held.support))
            if path in ("rules", "models"):
                break


def places(spec: BaseModel, path: str) -> Iterator[str]:
    """Where a field (`rules[].objective`) has a value that is not empty: `rules[0].objective`.

    Raises KeyError for a field that the type does not have.
    """
    name, _, rest = path.partition(".")
    listed = name.endswith("[]")
    name = name.removesuffix("[]")
    value = getattr(spec, {field.alias: at for at, field in type(spec).model_fields.items()}[name])
    if listed:
        for index, one in enumerate(value):
            yield from (join_path(f"{name}[{index}]", below) for below in places(one, rest))
    elif rest and value is not None:
        yield from (join_path(name, below) for below in places(value, rest))
    elif not rest and value not in (None, (), [], {}):
        yield name


def _asked_for(kind: str, spec: BaseModel, gateway: Gateway) -> Iterator[tuple[Feature, str]]:
    for feature in FEATURES:
        if feature.under(gateway).support is Support.YES:
            continue
        for field in feature.fields:
            of, _, path = field.partition(".")
            if of == kind:
                yield from ((feature, place) for place in places(spec, path))


def _message(held: Held, gateway: Gateway) -> str:
    what = {Support.NO: "has no effect", Support.PARTLY: "has less effect"}.get(held.support, "depends")
    return f"{what} under {_CALLED[gateway]}: {held.remark}"


def _fix(support: Support) -> str:
    if support is Support.DEPENDS:
        return "configure that gateway so"
    return "remove it, or put the bundled Envoy in front"
