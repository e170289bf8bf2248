"""Credentials that a folder's providers name and that are not here, without showing any."""

from collections.abc import Iterator
from dataclasses import replace

from pilotage_api.compile import Compiled
from pilotage_api.findings import Finding, ResourceKey, Severity
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.sources.provider_credentials import CredentialError, CredentialFiles


def with_credentials(compiled: Compiled) -> Compiled:
    """The same, with a warning for each file or variable that cannot be used where this runs."""
    found = tuple(one for pool in compiled.snapshot.pools for one in _findings(pool))
    return replace(compiled, findings=(*compiled.findings, *found))


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
