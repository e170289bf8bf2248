"""`ModelPool`: model servers that serve the same models."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from pilotage_api.address import ADDRESS_MESSAGE, ADDRESS_RULE, Address, address_problem
from pilotage_api.external import External
from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.findings import ResourceKey, shown
from pilotage_api.model_facts import ModelFacts
from pilotage_api.queueing import Admission
from pilotage_api.resource import (
    API_VERSION,
    LABEL_KEY,
    UNIQUE,
    Block,
    LabelValue,
    ModelName,
    ObjectMeta,
    Problem,
    cel,
    unique_by,
)
from pilotage_api.scheduling import Health, Saturation, Scheduling
from pilotage_api.snapshot import Engine, StreamUsage
from pilotage_api.status import ModelPoolStatus


class Endpoint(Block):
    """Where one model server listens."""

    model_config = ConfigDict(json_schema_extra=cel((ADDRESS_RULE, ADDRESS_MESSAGE)))

    address: Address
    """An IP address, or a DNS name that is resolved again every few seconds."""
    port: int = Field(ge=1, le=65535, strict=True)
    """TCP port of its HTTP API."""

    def problems(self) -> Iterable[Problem]:
        """An address that is none."""
        wrong = address_problem(self.address)
        if wrong:
            fix = "write an address such as 10.0.0.7, fd00::7 or llama-0.models.svc"
            yield Problem("invalid-value", "address", wrong, fix)


Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


class Adapter(Block):
    """A LoRA adapter loaded on the pool's servers."""

    name: ModelName
    """What the engine calls the adapter, and clients ask for."""


class Model(ModelFacts):
    """A model the pool's servers serve, and what is known of it."""

    name: ModelName
    """What the engine calls the model (`--served-model-name`); clients may ask for it too."""
    upstream_name: ModelName | None = None
    """What the servers call it, where that is not `name`."""
    aliases: list[ModelName] = Field(default=[], max_length=32, json_schema_extra=UNIQUE)
    """Other names clients may ask for."""
    adapters: list[Adapter] = Field(default=[], max_length=256, json_schema_extra=unique_by("name"))
    """LoRA adapters of this model."""

    @property
    def upstream(self) -> str:
        """What the servers call it."""
        return self.name if self.upstream_name is None else self.upstream_name

    def snapshot(self) -> ModelSnapshot:
        """What extproc needs of it."""
        return ModelSnapshot(
            upstream_model=self.upstream,
            name=self.name,
            adapters=tuple(adapter.name for adapter in self.adapters),
            context_window=self.context_window,
            max_output_tokens=self.max_output_tokens,
            capabilities=None if self.capabilities is None else tuple(sorted(self.capabilities)),
            pricing=None if self.pricing is None else self.pricing.snapshot(),
            quality=None if self.quality is None else self.quality.snapshot(),
        )


class LabelSelector(Block):
    """Labels an object must have."""

    match_labels: dict[str, LabelValue] = Field(min_length=1, max_length=32)
    """Every one of them."""

    def problems(self) -> Iterable[Problem]:
        """A key that no object can have."""
        for key in self.match_labels:
            if not LABEL_KEY.match(key):
                fix = "write a key such as app or app.kubernetes.io/name"
                yield Problem("invalid-value", "matchLabels", f"{shown(key)} is no label's key", fix)


class NamespaceSelector(LabelSelector):
    """Labels a namespace must have."""


class AllowedNamespaces(Block):
    """Whose policies may send requests to the pool."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "(self.from == 'Selector') == has(self.selector)",
                "selector belongs to from: Selector, and is required there",
            )
        )
    )

    from_: Literal["Same", "All", "Selector"] = Field(default="Same", alias="from")
    """The `Same` namespace as the pool, `All`, or those that `selector` finds."""
    selector: NamespaceSelector | None = None
    """Needed with `Selector`, and only there."""

    def problems(self) -> Iterable[Problem]:
        """A selector without its `from`, or the other way round."""
        if (self.from_ == "Selector") != (self.selector is not None):
            message = "selector belongs to from: Selector, and is required there"
            yield Problem("invalid-value", "selector", message, "set both or neither")


class PodSelector(LabelSelector):
    """Labels a pod must have; pods are sought in the pool's namespace."""


_PLACES_RULE: Final = "!(has(self.selector) && has(self.endpoints) && size(self.endpoints) > 0)"
_PLACES_MESSAGE: Final = "set endpoints or selector, not both"
_PORTS_RULE: Final = "has(self.selector) == (has(self.targetPorts) && size(self.targetPorts) > 0)"
_PORTS_MESSAGE: Final = "targetPorts belongs to selector, and is required there"


_EXTERNAL_RULE: Final = (
    "!has(self.external) || (!has(self.selector) && !(has(self.endpoints) && size(self.endpoints) > 0)"
    " && !(has(self.targetPorts) && size(self.targetPorts) > 0) && self.engine == 'vllm')"
)
_EXTERNAL_MESSAGE: Final = "external excludes endpoints, selector, targetPorts and engine"


class ModelPoolSpec(Block):
    """Model servers that serve the same models, and how to speak to them."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (_PLACES_RULE, _PLACES_MESSAGE),
            (_PORTS_RULE, _PORTS_MESSAGE),
            (_EXTERNAL_RULE, _EXTERNAL_MESSAGE),
        )
    )

    endpoints: list[Endpoint] = Field(default=[], max_length=4096)
    """The servers, one by one."""
    selector: PodSelector | None = None
    """Or the pods that are the servers, found and followed in a cluster."""
    target_ports: list[Port] = Field(default=[], max_length=8, json_schema_extra=UNIQUE)
    """Ports of those pods; each is a server."""
    engine: Engine = Engine.VLLM
    """What they run; decides which load metrics are read and which request parameters exist."""
    models: list[Model] = Field(min_length=1, max_length=64, json_schema_extra=unique_by("name"))
    """What they serve; every server of the pool serves all of it."""
    allowed_namespaces: AllowedNamespaces = AllowedNamespaces()
    """Whose policies may send requests here."""
    stream_usage: StreamUsage = StreamUsage.INJECT
    """`inject` asks the engine for token usage in streams whose client did not; `leave` changes nothing."""
    external: External | None = None
    """A hosted API instead of own servers."""
    scheduling: Scheduling = Scheduling()
    """Scorers, their weights, and the picker."""
    saturation: Saturation = Saturation()
    """When a server counts as full."""
    admission: Admission | None = None
    """How far servers are filled before requests wait at the picker."""
    health: Health = Health()
    """When a server that fails is ejected (outlier detection)."""

    def problems(self) -> Iterable[Problem]:
        """Servers named twice over, or pods without ports."""
        if self.selector is not None and self.endpoints:
            yield Problem("invalid-value", "selector", _PLACES_MESSAGE, "remove one of them")
        if (self.selector is not None) != bool(self.target_ports):
            yield Problem("invalid-value", "targetPorts", _PORTS_MESSAGE, "set both or neither")
        own = self.endpoints or self.selector or self.target_ports or self.engine is not Engine.VLLM
        if self.external is not None and own:
            yield Problem("invalid-value", "external", _EXTERNAL_MESSAGE, "remove the others")
        upstream: dict[str, int] = {}
        for index, model in enumerate(self.models):
            first = upstream.setdefault(model.upstream, index)
            # equal names are duplicates of the list, found there
            if first != index and self.models[first].name != model.name:
                message = f"models[{first}] is called so by the servers as well"
                fix = "give one model both names: the other as an alias"
                yield Problem("duplicate-item", f"models[{index}].upstreamName", message, fix)


class ModelPool(BaseModel):
    """Model servers that serve the same models."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    api_version: Literal["pilotage.dev/v1alpha1"] = Field(default=API_VERSION, alias="apiVersion")
    kind: Literal["ModelPool"] = "ModelPool"
    metadata: ObjectMeta
    spec: ModelPoolSpec
    status: ModelPoolStatus | None = None

    @cached_property
    def resource_key(self) -> ResourceKey:
        """Its identity."""
        return ResourceKey("ModelPool", self.metadata.namespace, self.metadata.name)
