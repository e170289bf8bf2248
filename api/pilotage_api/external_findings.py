"""What is wrong with hosted providers that only the gateway's settings can tell."""

from pilotage_api.egress import host_problem
from pilotage_api.findings import Find, ResourceKey, Severity
from pilotage_api.modelpool import ModelPool
from pilotage_api.settings import GatewaySettings

_MANIFEST_ONLY = "secretRef is read in a cluster; outside one the pool is not used"


def find_in_external(
    pool: ModelPool, key: ResourceKey, settings: GatewaySettings, *, in_cluster: bool, find: Find
) -> None:
    """Hosts that are not allowed, and credentials that cannot be read; pickers refuse the same."""
    external = pool.spec.external
    if external is None:
        return
    made = external.snapshot(key.namespace)
    wrong = host_problem(made.host, settings.providers, in_cluster=in_cluster)
    if wrong:
        fix = (
            "name a public host, and list it in the gateway's providers.hosts"
            if in_cluster
            else "name a public host that providers.hosts lists, if that is set; for one of your own network "
            "list its addresses in providers.networks"
        )
        find(Severity.ERROR, "host-not-allowed", wrong, key, "spec.external.host", fix)
    sources = {
        "spec.external.auth": external.auth,
        "spec.external.tls.clientCertificate": external.tls.client_certificate,
    }
    for path, source in sources.items():
        if source is None:
            continue
        if not in_cluster:
            if source.secret_ref is not None:
                fix = "name a file or a variable"
                find(Severity.WARNING, "only-in-cluster", _MANIFEST_ONLY, key, path, fix)
        elif source.secret_ref is None:
            message = "in a cluster credentials come from secretRef only"
            fix = "make a Secret of type pilotage.dev/provider"
            find(Severity.ERROR, "not-in-cluster", message, key, path, fix)
        else:
            _find_in_cluster(key, path, settings, find)


def _find_in_cluster(key: ResourceKey, path: str, settings: GatewaySettings, find: Find) -> None:
    if settings.tls.envoy is None:
        message = (
            "credentials are told to Envoy over mutually authenticated TLS only, and tls.envoy is not set"
        )
        fix = "set tls.extproc and tls.envoy in the gateway's settings"
        find(Severity.ERROR, "tls-not-mutual", message, key, path, fix)
    if key.namespace not in settings.providers.secret_namespaces:
        message = f"Secrets of the namespace {key.namespace} are not read"
        fix = "add it to the gateway's providers.secretNamespaces"
        find(Severity.ERROR, "secrets-not-read", message, key, f"{path}.secretRef", fix)
