"""Folders of manifests that come with the package."""

import socket
from pathlib import Path

_PACKAGE = Path(__file__).parent

QUICKSTART = _PACKAGE / "quickstart"
"""Two pools and two policies: what `pilotage demo`, and `pilotage up --sim` without a folder, run."""
STARTER = _PACKAGE / "starter"
"""What `pilotage init` writes."""


def copy_with_free_ports(source: Path, target: Path) -> None:
    """Copy manifests, giving every endpoint a port that is free now."""
    sockets = []
    for path in sorted(source.glob("*.yaml")):
        text = path.read_text()
        while "port: 18" in text:
            at = text.index("port: 18")
            free = socket.create_server(("127.0.0.1", 0))
            sockets.append(free)
            text = f"{text[:at]}port:  {free.getsockname()[1]}{text[at + len('port: 18xxx') :]}"
        (target / path.name).write_text(text)
    for one in sockets:
        one.close()
