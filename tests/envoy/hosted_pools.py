"""Manifests of providers on this machine, for whole gateways."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from provider_stub import ProviderStub

LOOPBACK: Final = {"providers": {"networks": ["127.0.0.0/8", "::1/128"]}}
"""Settings that let a gateway reach them."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def hosted_pool(
    name: str,
    stub: ProviderStub,
    dialect: str,
    *,
    model: Mapping[str, Any] = _NOTHING,
    external: Mapping[str, Any] = _NOTHING,
    **spec: Any,
) -> dict[str, Any]:
    """The pool of a provider with one model of its name; the rest are further fields."""
    reached = {
        "host": "localhost",
        "port": stub.port,
        "dialect": dialect,
        "tls": {"caBundle": stub.authority.certificate},
        **external,
    }
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {"external": reached, "models": [{"name": name, **model}], **spec},
    }
