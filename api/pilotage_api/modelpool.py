"""`ModelPool`: model servers that serve the same models."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pilotage_api.resource import API_VERSION, Block, ModelName, ObjectMeta, Reserved
from pilotage_api.snapshot import Engine, StreamUsage

Host = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9.])?$|^::1?$", max_length=253)
]


class Endpoint(Block):
    """Where one model server listens."""

    address: Host
    """An IP address, or a DNS name that is resolved again every few seconds."""
    port: int = Field(ge=1, le=65535)
    """TCP port of its HTTP API."""


class Adapter(Block):
    """A LoRA adapter loaded on the pool's servers."""

    name: ModelName
    """What the engine calls the adapter, and clients ask for."""


class Model(Block):
    """A model the pool's servers serve."""

    name: ModelName
    """What the engine calls the model (`--served-model-name`); clients may ask for it too."""
    aliases: list[ModelName] = Field(default=[], max_length=32)
    """Other names clients may ask for."""
    adapters: list[Adapter] = Field(default=[], max_length=256)
    """LoRA adapters of this model."""
    context_window: Reserved
    """Reserved."""
    capabilities: Reserved
    """Reserved."""
    pricing: Reserved
    """Reserved."""
    quality: Reserved
    """Reserved."""


class NamespaceSelector(Block):
    """Labels a namespace must have."""

    match_labels: dict[str, str] = Field(min_length=1, max_length=32)
    """Every one of them."""


class AllowedNamespaces(Block):
    """Whose policies may send requests to the pool."""

    from_: Literal["Same", "All", "Selector"] = Field(default="Same", alias="from")
    """`Same` namespace as the pool, `All`, or those that `selector` finds."""
    selector: NamespaceSelector | None = None
    """Needed with `Selector`, and only there."""


class ModelPoolSpec(Block):
    """Model servers that serve the same models, and how to speak to them."""

    endpoints: list[Endpoint] = Field(default=[], max_length=4096)
    """The servers, one by one."""
    engine: Engine = Engine.VLLM
    """What they run; decides which load metrics are read and which request parameters exist."""
    models: list[Model] = Field(min_length=1, max_length=64)
    """What they serve; every server of the pool serves all of it."""
    allowed_namespaces: AllowedNamespaces = AllowedNamespaces()
    """Whose policies may send requests here."""
    stream_usage: StreamUsage = StreamUsage.INJECT
    """`inject` asks the engine for token usage in streams whose client did not; `leave` changes nothing."""
    selector: Reserved
    """Reserved."""
    target_ports: Reserved
    """Reserved."""
    external: Reserved
    """Reserved."""
    scheduling: Reserved
    """Reserved."""
    saturation: Reserved
    """Reserved."""
    health: Reserved
    """Reserved."""


class ModelPool(BaseModel):
    """Model servers that serve the same models."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    api_version: Literal["pilotage.dev/v1alpha1"] = Field(default=API_VERSION, alias="apiVersion")
    kind: Literal["ModelPool"] = "ModelPool"
    metadata: ObjectMeta
    spec: ModelPoolSpec
