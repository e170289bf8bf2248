"""Files that tell Envoy which certificate is its own, where it and the pickers verify each other."""

import tempfile
from pathlib import Path

from pilotage_api.settings import TlsSettings


def written_identity(tls: TlsSettings) -> str | None:
    """The path of a new folder that holds them; None where nobody is verified. Raises OSError."""
    from pilotage_extproc.envoy.xds.own_identity import identity_files  # noqa: PLC0415 - heavy

    if tls.envoy is None:
        return None
    folder = tempfile.mkdtemp(prefix="pilotage-identity-")
    for name, content in identity_files(tls.envoy).items():
        Path(folder, name).write_text(content)
    return folder
