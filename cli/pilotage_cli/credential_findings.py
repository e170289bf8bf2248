"""What a folder's providers need and that is not here: credentials, without showing any, and authorities."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pilotage_api.compile import Compiled
from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.sources.provider_credentials import CredentialError, CredentialFiles


def with_credentials(compiled: Compiled, settings: GatewaySettings) -> Compiled:
    """The same, with a warning for each file or variable that cannot be used where this runs."""
    found = [one for pool in compiled.snapshot.pools for one in _findings(pool)]
    authorities = Path(settings.providers.ca_file)
    if not authorities.is_file():
        found += [_untrusted(pool, authorities) for pool in compiled.snapshot.pools if _trusts_usual(pool)]
    return replace(compiled, findings=(*compiled.findings, *found))


def _trusts_usual(pool: PoolSnapshot) -> bool:
    return pool.external is not None and pool.external.ca_bundle is None


def _untrusted(pool: PoolSnapshot, authorities: Path) -> Finding:
    namespace, _, name = pool.key.partition("/")
    return Finding(
        Severity.WARNING,
        "authorities-missing",
        f"there is no file {authorities} (providers.caFile), where this runs: there the pool is not used",
        ResourceKey("ModelPool", namespace, name),
        "spec.external.tls",
        "set providers.caFile to the authorities of your system, or caBundle here",
    )


def _findings(pool: PoolSnapshot) -> Iterator[Finding]:
    credential = None if pool.external is None else pool.external.credential
    if credential is None or credential.secret is not None:
        return
    files = CredentialFiles()
    try:
        if credential.file is not None:
            files.of_file(credential.file)
        elif credential.env is not None:
            files.of_variable(credential.env)
    except CredentialError as error:
        namespace, _, name = pool.key.partition("/")
        yield Finding(
            Severity.WARNING,
            "credential-missing",
            f"{error}, where this runs: there the pool is not used",
            ResourceKey("ModelPool", namespace, name),
            "spec.external.auth",
            "put the credential there",
        )
    finally:
        files.close()
