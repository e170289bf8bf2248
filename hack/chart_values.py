"""The values of charts/pilotage: the one place that says what they are, may be, and mean."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pilotage_api.settings_part import SettingsPart

Port = Annotated[int, Field(ge=1, le=65535)]
PoolPort = Annotated[int, Field(ge=1, le=65535, json_schema_extra={"not": {"enum": [9002, 9003]}})]
Replicas = Annotated[int, Field(ge=0, le=1000)]
Objects = tuple[dict[str, Any], ...]


class Image(SettingsPart):
    """The image of all parts."""

    repository: str = "localhost/pilotage"
    """Its name. No image is published yet: build one (`docker build .`) and name it."""
    tag: str = ""
    """Its tag; the chart's `appVersion` when empty."""
    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """Its digest, `sha256:…`; wins over the tag."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When nodes fetch it."""
    pull_secrets: Objects = ()
    """`{name}` of Secrets with a registry's credentials."""


class Crds(SettingsPart):
    """The CustomResourceDefinitions; see docs/chart.md on upgrades and rollbacks."""

    install: bool = True
    """Install and upgrade them. They and all policies outlive `helm uninstall`."""


class Admin(SettingsPart):
    """The admin address of pickers: metrics and health are open, decisions need a token."""

    existing_secret: str = ""
    """Secret whose key `token` is the bearer token; one with a random token is made when empty."""


class ServiceAccount(SettingsPart):
    """The part's own account."""

    annotations: dict[str, str] = {}
    """Its annotations."""


class DisruptionBudget(SettingsPart):
    """A PodDisruptionBudget for node drains."""

    enabled: bool = True
    """Make one."""
    max_unavailable: int | str = 1
    """Pods that may be away at once."""


class Autoscaling(SettingsPart):
    """A HorizontalPodAutoscaler; needs a metrics server."""

    enabled: bool = False
    """Make one; `replicas` is then its business."""
    min_replicas: Annotated[int, Field(ge=1)] = 2
    """Fewest pods."""
    max_replicas: Annotated[int, Field(ge=1)] = 10
    """Most pods."""
    target_cpu_utilization_percentage: Annotated[int, Field(ge=1, le=100)] = 60
    """Of the CPU that a pod requests."""


class Part(SettingsPart):
    """What every part's pods have."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much it logs."""
    resources: dict[str, Any] = {}
    """CPU and memory."""
    pod_annotations: dict[str, str] = {}
    """Further annotations of its pods."""
    pod_labels: dict[str, str] = {}
    """Further labels of its pods."""
    priority_class_name: str = ""
    """Priority class of its pods."""
    node_selector: dict[str, str] = {}
    """Labels its nodes must have."""
    tolerations: Objects = ()
    """Taints its pods tolerate."""
    affinity: dict[str, Any] = {}
    """Affinity of its pods."""
    service_account: ServiceAccount = ServiceAccount()


class Operator(Part):
    """The operator: resources to published snapshot, statuses."""

    replicas: Replicas = 1
    """Pods; one at a time works, others wait."""
    resources: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "1Gi"}}
    """CPU and memory."""


class Extproc(Part):
    """The pickers: one decision a request."""

    replicas: Replicas = 2
    """Pods; all work."""
    resources: dict[str, Any] = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    """CPU and memory. 2.5 times `settings.body.maxTotalBytes`, `settings.prefixIndexBytes` and 250 MiB must
    fit in."""
    self_signed_tls: bool = False
    """TLS on the gRPC port with a certificate of each pod's own making, as some gateways want it; pickers
    trust each other's by their reports."""
    notice_seconds: Annotated[int, Field(ge=0, le=120)] = 10
    """How long a stopping pod still serves while gateways learn of it; then `settings.drainSeconds` begin."""
    autoscaling: Autoscaling = Autoscaling()
    pod_disruption_budget: DisruptionBudget = DisruptionBudget()
    topology_spread: bool = True
    """Spread pods over nodes and zones where possible."""


class EnvoyService(SettingsPart):
    """Where clients connect."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""
    port: Port = 80
    """Port of the Service."""
    annotations: dict[str, str] = {}
    """Its annotations, for a cloud's load balancer."""


class Envoy(Part):
    """The bundled Envoy; not used where another gateway asks the pickers."""

    enabled: bool = True
    """Run it."""
    replicas: Replicas = 2
    """Pods."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """How much it logs; `debug` logs all headers of clients, their credentials too."""
    resources: dict[str, Any] = {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}
    """CPU and memory."""
    concurrency: Annotated[int, Field(ge=0, le=256)] = 0
    """Worker threads; 0 is Envoy's own choice."""
    service: EnvoyService = EnvoyService()
    tls_secret: str = ""
    """Secret of type `kubernetes.io/tls` for the clients' side; plaintext when empty. Renewed without a
    restart."""
    notice_seconds: Annotated[int, Field(ge=0, le=120)] = 5
    """How long a stopping pod is still given connections while balancers learn of it."""
    drain_seconds: Annotated[int, Field(ge=0, le=7200)] = 300
    """Longest wait for requests under way when a pod stops."""
    autoscaling: Autoscaling = Autoscaling()
    pod_disruption_budget: DisruptionBudget = DisruptionBudget()
    topology_spread: bool = True
    """Spread pods over nodes and zones where possible."""


class NetworkPolicy(SettingsPart):
    """Who may connect to the parts. What they connect to (API server, model servers) is not limited."""

    enabled: bool = True
    """Make NetworkPolicies; a network without support ignores them."""
    clients: Objects = ()
    """Peers (`from` entries) that may connect to Envoy; anyone when empty."""
    gateways: Objects = ()
    """Peers that may ask pickers besides the bundled Envoy. Empty: no one, or anyone where
    `inferencePoolPorts` names ports or there is no bundled Envoy."""
    scrapers: Objects = ()
    """Peers that may read health and metrics; anyone when empty."""


class Monitor(SettingsPart):
    """ServiceMonitors; need the Prometheus operator."""

    enabled: bool = False
    """Make them."""
    interval: str = "15s"
    """How often metrics are read."""
    labels: dict[str, str] = {}
    """Labels your Prometheus selects by."""


class Rules(SettingsPart):
    """A PrometheusRule with alerts; needs the Prometheus operator."""

    enabled: bool = False
    """Make it."""
    labels: dict[str, str] = {}
    """Labels your Prometheus selects by."""


class Dashboard(SettingsPart):
    """A Grafana dashboard in a ConfigMap, for Grafana's sidecar."""

    enabled: bool = False
    """Make it."""
    labels: dict[str, str] = {"grafana_dashboard": "1"}
    """Labels the sidecar selects by."""


class Monitoring(SettingsPart):
    """What Prometheus and Grafana read."""

    service_monitor: Monitor = Monitor()
    prometheus_rule: Rules = Rules()
    dashboard: Dashboard = Dashboard()


class MutualTls(SettingsPart):
    """Certificates by which pickers and the bundled Envoy verify each other: credentials of hosted providers
    need them."""

    picker_secret: str = ""
    """Secret with `ca.crt`, `tls.crt` and `tls.key`; its certificate is for the DNS name
    `pilotage-extproc`."""
    envoy_secret: str = ""
    """The same for Envoy: of the same authority, for the DNS name `pilotage-envoy`."""
    require_certificates: bool = False
    """Let nobody without a certificate of that authority connect to the pickers, other gateways included."""


class Store(SettingsPart):
    """What `settings.governance.store` needs of the cluster, to count limits and budgets."""

    valkey_secret: str = ""
    """Secret whose key `password` is the password of `settings.governance.store.valkey`. All of it is mounted
    at `/etc/pilotage-valkey`: a `ca.crt` in it is the `caFile` `/etc/pilotage-valkey/ca.crt`."""
    journal_claim: str = ""
    """PersistentVolumeClaim for the journal. All pickers write to it, each a file of its own: more than one
    picker, and a rolling update, need `ReadWriteMany`."""


class KvSalt(SettingsPart):
    """What salts of `kvIsolation: tenant` are made with: the pickers' file `governance.kvSaltFile`."""

    secret: str = ""
    """Secret that holds it (`kubectl create secret generic NAME --from-literal=salt=…`)."""
    key: str = Field(default="salt", pattern=r"^[-._a-zA-Z0-9]+$")
    """Its key there."""


class Guards(SettingsPart):
    """What guards over HTTP are shown and known by: files of `settings.governance.content.guards`."""

    secret: str = ""
    """Secret whose keys are files at `/etc/pilotage-guards`: `{file: /etc/pilotage-guards/token}` is the
    `auth` of a guard's host, `/etc/pilotage-guards/ca.crt` its `caFile`."""


class GainFile(SettingsPart):
    """Weights of your own labels for `prompt.strongGain`, made by `pilotage eval train`: the pickers' file
    `promptFeatures.gainFile`."""

    config_map: str = ""
    """ConfigMap that holds it (`kubectl create configmap NAME --from-file=gain.predictor`)."""
    secret: str = ""
    """Secret that holds it, instead."""
    key: str = Field(default="gain.predictor", pattern=r"^[-._a-zA-Z0-9]+$")
    """Its key there."""


class ChartValues(SettingsPart):
    """All values of the chart."""

    name_override: str = ""
    """Instead of the chart's name in names."""
    fullname_override: str = ""
    """Instead of release and chart name in names."""
    common_labels: dict[str, str] = {}
    """Further labels of every object."""
    cluster_domain: str = "cluster.local"
    """The cluster's DNS domain."""
    listen_host: Literal["0.0.0.0", "[::]"] = "0.0.0.0"
    """Where parts listen: `[::]` in a cluster whose pods have IPv6 addresses only."""
    image: Image = Image()
    crds: Crds = Crds()
    settings: dict[str, Any] = {}
    """The gateway's settings, as in docs/settings.md; addresses, files and names are the chart's.
    `namespaces` is the release's own when omitted."""
    gain_file: GainFile = GainFile()
    mutual_tls: MutualTls = MutualTls()
    store: Store = Store()
    kv_salt: KvSalt = KvSalt()
    guards: Guards = Guards()
    inference_pool_ports: tuple[PoolPort, ...] = ()
    """Ports that InferencePools name in their `endpointPickerRef`: each is opened on the pickers' Service.
    9002 and 9003 are the pickers' own."""
    admin: Admin = Admin()
    operator: Operator = Operator()
    extproc: Extproc = Extproc()
    envoy: Envoy = Envoy()
    network_policy: NetworkPolicy = NetworkPolicy()
    monitoring: Monitoring = Monitoring()
