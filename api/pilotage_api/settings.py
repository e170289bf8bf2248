"""What concerns the gateway and no pool: one typed model for `pilotage.yaml`, flags and chart values."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pilotage_api.address import canonical_place
from pilotage_api.gateways import Gateway
from pilotage_api.governance_settings import GovernanceSettings
from pilotage_api.provider_settings import ProviderSettings
from pilotage_api.resource import DNS_LABEL
from pilotage_api.settings_part import SettingsPart
from pilotage_api.time_zones import time_zone_problem


def _host_and_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port[:6]) > 65535:
        raise ValueError("not an address: write HOST:PORT, such as 127.0.0.1:8080")
    if ":" in host and not bracketed:
        raise ValueError("write an IPv6 address in brackets, such as [::1]:8080")
    return text


def _time_zone(name: str) -> str:
    fix = time_zone_problem(name)
    if fix is not None:
        raise ValueError(f"no time zone of this name: {fix}")
    return name


ListenAddress = Annotated[str, AfterValidator(_host_and_port)]
"""`HOST:PORT`, IPv6 in brackets."""
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s*,]+)$", max_length=255)]
"""`SCHEME://HOST[:PORT]`, as browsers send it, or `*`."""
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", max_length=100)]
ObeyedNamespace = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$")]


class DecisionHeaders(StrEnum):
    """How much of a decision a response's headers show the client."""

    OFF = "off"
    SUMMARY = "summary"
    """Decision id, model, policy and rule; no addresses."""
    FULL = "full"
    """Also pool, endpoint and score."""


def _off_unquoted(value: object) -> object:
    """YAML 1.1 reads an unquoted `off` as false."""
    return DecisionHeaders.OFF if value is False else value


class Transport(StrEnum):
    """Which gRPC server the picker's ports run on."""

    BUILTIN = "builtin"
    """Our own, on the event loop."""
    GRPCIO = "grpcio"
    """grpcio's, several times the CPU a request."""


class OtherTraffic(SettingsPart):
    """What happens to requests that are not ours to understand."""

    action: Literal["reject", "forward"] = "reject"
    """`reject` with an error, or `forward` to a pool."""
    pool: str | None = None
    """`namespace/name` of the pool that gets them when `action` is `forward`; chosen by load only."""


class BodyLimits(SettingsPart):
    """Bounds on what a request body may cost."""

    max_bytes: int = Field(default=32 << 20, ge=1 << 10, le=256 << 20)
    """Largest body of one request; past it 413."""
    max_total_bytes: int = Field(default=384 << 20, ge=1 << 20)
    """Bytes of all bodies one process holds at once, those on their way included; one that does not fit
    within a second is answered 503 with Retry-After. Memory for two and a half times as much must be
    there."""
    receive_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a client of the bundled Envoy may take to send its request; past it 408."""
    max_structure: int = Field(default=262_144, ge=100)
    """Most brackets, braces, commas and colons in one body, outside of strings; colons count twice, commas
    right behind a number half; past it 400."""


class TlsFiles(SettingsPart):
    """A certificate and key in PEM files; read again when they change."""

    cert_file: str
    """Certificate chain, PEM."""
    key_file: str
    """Private key, PEM."""


class ListenSettings(SettingsPart):
    """Addresses as `HOST:PORT`; port 0 takes a free one."""

    gateway: ListenAddress = "127.0.0.1:8080"
    """Where clients connect to the bundled Envoy."""
    extproc: ListenAddress = "127.0.0.1:9002"
    """gRPC: ext_proc, access log, xDS, health, peers."""
    admin: ListenAddress = "127.0.0.1:9003"
    """HTTP: metrics, decisions, snapshot. Without `adminTokenFile` loopback only: other `Host`s get 403."""
    envoy_admin: ListenAddress = "127.0.0.1:0"
    """HTTP: the bundled Envoy's own admin address; it has no authentication, so loopback only."""
    envoy_probes: ListenAddress | None = None
    """HTTP: `/ready` and `/stats/prometheus` of the bundled Envoy and nothing else, for probes
    and scrapes from outside."""
    operator: ListenAddress = "127.0.0.1:9004"
    """HTTP: the operator's health and metrics."""


class EnvoyTls(SettingsPart):
    """What Envoy and pickers prove to each other who they are with."""

    ca_file: str
    """The authority that issued both sides' certificates, PEM."""
    cert_file: str
    """Envoy's certificate, PEM."""
    key_file: str
    """Envoy's private key, PEM. Pickers need neither of the two."""
    name: str = Field(default="pilotage-envoy", min_length=1)
    """DNS name in Envoy's certificate: who shows it may be told credentials of providers."""
    picker_name: str = Field(default="pilotage-extproc", min_length=1)
    """DNS name in the pickers' certificate; pickers prove with it to each other who they are."""
    require_certificates: bool = False
    """Let nobody without a certificate of `caFile` connect to the pickers' ports, other gateways included."""


class TlsSettings(SettingsPart):
    """TLS of the gateway listener and of the ext_proc server."""

    gateway: TlsFiles | None = None
    """`{certFile, keyFile}` of the gateway listener; plaintext when unset."""
    extproc: TlsFiles | Literal["self-signed"] | None = None
    """The same for the gRPC port, or `self-signed`: each process makes its own."""
    envoy: EnvoyTls | None = None
    """`{caFile, certFile, keyFile}`: the bundled Envoy and pickers verify each other; nobody else gets more
    than picks. Without it no Envoy is told credentials of providers."""

    @property
    def envoy_name(self) -> str:
        """The name that an Envoy must prove to be told credentials; empty where none can."""
        return "" if self.envoy is None else self.envoy.name

    @property
    def picker_name(self) -> str:
        """The name that a peer must prove; empty where callers are not told apart."""
        return "" if self.envoy is None else self.envoy.picker_name

    @model_validator(mode="after")
    def _verifiable(self) -> Self:
        if self.envoy is not None and not isinstance(self.extproc, TlsFiles):
            raise ValueError("envoy needs a certificate of pickers that Envoy can verify: name it in extproc")
        return self


class UpstreamSettings(SettingsPart):
    """How the bundled Envoy speaks to model servers; long enough for LLM streams."""

    connect_timeout_seconds: float = Field(default=2.0, gt=0)
    """To open a connection to a model server."""
    stream_idle_timeout_seconds: float = Field(default=600.0, ge=0)
    """Longest silence on a stream, such as waiting for the first token; 0 is never."""
    hold_headers: bool = True
    """Keep an answer's headers back until its first body byte: while a request waits for its first token
    another server can still be tried. False forwards headers as they come."""
    request_timeout_seconds: float = Field(default=0.0, ge=0)
    """Whole request; 0 is no limit."""
    max_connections: int = Field(default=16384, ge=1)
    """To all model servers together."""
    max_pending_requests: int = Field(default=16384, ge=1)
    """Requests that wait for a connection."""
    max_requests: int = Field(default=65536, ge=1)
    """Requests under way."""
    max_retries: int = Field(default=1024, ge=0)
    """Retries at one time over all requests."""


class CorsSettings(SettingsPart):
    """Which pages of browsers may call the gateway; the bundled Envoy answers their preflight requests."""

    allow_origins: tuple[Origin, ...] = ()
    """Origins such as `https://chat.example.com`; `*` is any, and stands alone. Empty is none: no CORS."""
    allow_headers: tuple[HeaderName, ...] = ("authorization", "content-type")
    """Request headers that pages may set beside the always allowed ones."""
    expose_headers: tuple[HeaderName, ...] = ()
    """Response headers that pages may read, such as `x-request-id`."""
    max_age_seconds: int = Field(default=600, ge=0, le=86_400)
    """How long a browser may keep the answer to a preflight request."""
    allow_credentials: bool = False
    """Whether pages may send cookies; not with `*`."""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if "*" in self.allow_origins and len(self.allow_origins) > 1:
            raise ValueError("allowOrigins: `*` is any origin: name it alone")
        if "*" in self.allow_origins and self.allow_credentials:
            raise ValueError(
                "allowCredentials with `*` would let any page act for its user: name the origins"
            )
        return self


class ScrapeSettings(SettingsPart):
    """How engine metrics are read."""

    interval_seconds: float = Field(default=0.1, gt=0.005)
    """For each endpoint; longer where all scraping would pass a tenth of a core."""
    timeout_seconds: float = Field(default=1.0, gt=0)
    """For one page."""
    stale_after_seconds: float = Field(default=2.0, gt=0)
    """Older figures are not used: the endpoint counts as an average one. Never less than three scrapes."""


class RemoteClassifier(SettingsPart):
    """A classifier of your own over HTTP (docs/rules.md, "A classifier of your own")."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)]
    """It is sent `{"texts": [...]}` and answers `{"results": [{...}]}`, one for each text."""
    provides: tuple[Literal["domain", "strongGain", "language"], ...] = Field(min_length=1)
    """Which features it finds out, instead of what ships."""
    timeout_seconds: float = Field(default=0.2, gt=0, le=5)
    """Past it a request goes on without."""
    max_batch: int = Field(default=16, ge=1, le=256)
    """Texts in one call: those that wait while a call is under way go together."""
    max_waiting: int = Field(default=128, ge=1, le=4096)
    """Past it requests go on without."""


class PromptFeatureSettings(SettingsPart):
    """How `prompt.…` in conditions is found out. Nothing of it runs unless a rule reads it."""

    shipped_gain: Literal["mixtral-8x7b-vs-gpt-4-1106"] | None = None
    """Use the shipped weights for `prompt.strongGain`, by naming the pair of models they were trained on.
    They know that pair alone (docs/routing-quality.md)."""
    gain_file: str | None = None
    """File of weights of your own labels, made by `pilotage eval train`; comes before the shipped ones."""
    predictors: tuple[str, ...] = ()
    """Installed predictors to use, by entry point (docs/plugins.md)."""
    tokens: Literal["estimate", "o200k_base", "cl100k_base", "llama3", "qwen3"] = "estimate"
    """`request.contextTokens`: estimated, or counted in one vocabulary, which needs `pilotage[tokens]`."""
    remote: RemoteClassifier | None = None
    """A classifier over HTTP; none unless set."""


class KubernetesSettings(SettingsPart):
    """Where the parts of one gateway meet in a cluster."""

    namespace: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)] | None = None
    """Where snapshot, Lease and replica reports live; unset is `POD_NAMESPACE`, else the kubeconfig's."""
    snapshot_name: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=40)] = "pilotage-snapshot"
    """Name of the published snapshot; gateways that share a namespace need one each."""
    owner: str | None = None
    """Name of a ConfigMap there that owns everything published: deleting it removes the rest."""
    replica_group: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=40)] = "pilotage-extproc"
    """Label that pickers of this gateway report under."""
    picker_service: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)] = "pilotage-extproc"
    """Service that stands for this gateway's pickers: InferencePools whose `endpointPickerRef` names it are
    served, each on the port it names."""
    watch_namespaces: tuple[ObeyedNamespace, ...] = ()
    """Namespaces whose resources are read besides `namespaces`: their pools may be let in. `*` is all."""


class GatewaySettings(SettingsPart):
    """All settings of one gateway."""

    namespaces: tuple[ObeyedNamespace, ...] = Field(default=("default",), min_length=1)
    """Namespaces whose policies the gateway obeys; `*` is all."""
    gateway: Gateway = Gateway.BUNDLED
    """How requests reach the picker: `bundled` Envoy; `other`, another gateway at the picker's main port; or
    `inferencePool`, one at ports of InferencePools alone. What cannot work there is an error
    (docs/gateways.md)."""
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings = TlsSettings()
    transport: Transport = Transport.BUILTIN
    """gRPC server of the picker's ports: `builtin`, or `grpcio`, which takes several times the CPU."""
    admin_token_file: str | None = None
    """File with the bearer token of the admin address; required where that is not loopback."""
    body: BodyLimits = BodyLimits()
    other_paths: OtherTraffic = OtherTraffic()
    """Paths that are not inference calls."""
    other_bodies: OtherTraffic = OtherTraffic()
    """Inference paths whose body is not what the call takes, by its content type: JSON, or a form (audio)."""
    fail_open_pool: str | None = None
    """`namespace/name` of the pool that serves requests when the picker is away; unset fails closed."""
    decision_headers: Annotated[DecisionHeaders, BeforeValidator(_off_unquoted)] = DecisionHeaders.OFF
    """What `x-pilotage-decision` shows clients: `off`, `summary` (no addresses), `full`."""
    time_zone: Annotated[str, Field(max_length=64), AfterValidator(_time_zone)] = "UTC"
    """Of `request.hour` and `request.weekday` in rules: an IANA name, such as `Europe/Berlin`."""
    max_attempts: int = Field(default=3, ge=1, le=16)
    """Endpoints tried for one request, the first included."""
    message_timeout_seconds: float = Field(default=5.0, gt=0)
    """How long Envoy waits for one answer of the picker before 504."""
    publish_hold_seconds: float = Field(default=0.25, ge=0)
    """How long a new endpoint waits before it is picked where its acknowledgement by Envoy was not seen."""
    drain_seconds: float = Field(default=20.0, ge=0)
    """Longest wait for requests in progress when `up` or `extproc` ends; a second Ctrl-C ends it."""
    inflight_ttl_seconds: float = Field(default=900.0, gt=0)
    """After this a request whose completion was never seen no longer counts as in flight."""
    prefix_index_bytes: int = Field(default=512 << 20, ge=16 << 20)
    """Most memory for the prefix index, allocated as it fills: about 1 MiB a server with room
    for 400,000 tokens. Past it the least recently used blocks are evicted."""
    decision_history_bytes: int = Field(default=64 << 20, ge=1 << 16)
    """Memory for decision records that can be explained afterwards."""
    cors: CorsSettings = CorsSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    prompt_features: PromptFeatureSettings = PromptFeatureSettings()
    scrape: ScrapeSettings = ScrapeSettings()
    providers: ProviderSettings = ProviderSettings()
    peers: tuple[str, ...] = ()
    """`HOST:PORT` of the other extproc processes behind the same Envoy, to share settling. With
    `tls.extproc` all serve the same certificate, from files."""
    kubernetes: KubernetesSettings = KubernetesSettings()
    governance: GovernanceSettings = GovernanceSettings()

    @field_validator("transport")
    @classmethod
    def _tells_callers_apart(cls, transport: Transport, known: ValidationInfo) -> Transport:
        tls: TlsSettings | None = known.data.get("tls")
        mutual = None if tls is None else tls.envoy
        if transport is Transport.GRPCIO and mutual is not None and not mutual.require_certificates:
            raise ValueError(
                "grpcio asks all callers for a certificate or none: set tls.envoy.requireCertificates"
            )
        return transport

    @field_validator("peers")
    @classmethod
    def _verifiable(cls, peers: tuple[str, ...], known: ValidationInfo) -> tuple[str, ...]:
        tls: TlsSettings | None = known.data.get("tls")
        if peers and tls is not None and tls.extproc == "self-signed":
            raise ValueError(
                "a peer's self-signed certificate cannot be verified: name certFile and keyFile, the same for"
                " all, in tls.extproc; in a cluster leave peers out, replicas find each other"
            )
        return tuple(dict.fromkeys(map(canonical_place, peers)))

    @field_validator("governance")
    @classmethod
    def _nobody_gets_round(cls, governance: GovernanceSettings, known: ValidationInfo) -> GovernanceSettings:
        """What serves requests that the picker has not looked at would get round the floor."""
        others: dict[str, OtherTraffic | None] = {
            name: known.data.get(attribute)
            for name, attribute in (("otherPaths", "other_paths"), ("otherBodies", "other_bodies"))
        }
        round_it = [name for name, other in others.items() if other is not None and other.action == "forward"]
        if known.data.get("fail_open_pool") is not None:
            round_it.insert(0, "failOpenPool")
        if governance.floor and round_it:
            raise ValueError(
                f"{round_it[0]} would let requests get round it: remove {round_it[0]}"
                + ("" if round_it[0] == "failOpenPool" else ", or set its action: reject")
            )
        return governance

    @property
    def watched_namespaces(self) -> tuple[str, ...]:
        """Namespaces whose resources are read, without repeats; `("*",)` for all."""
        wanted = dict.fromkeys((*self.kubernetes.watch_namespaces, *self.namespaces))
        return ("*",) if "*" in wanted else tuple(wanted)
