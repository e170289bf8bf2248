"""How Envoy and pickers prove to each other who they are: certificates that Envoy reads again when renewed.

Envoy watches only files of secrets that are served to it, and what would serve them, the picker, is reached
by means of these. So they are served from two files, which name the files and hold no secret themselves;
Envoy takes one secret a file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret

from pilotage_api.settings import EnvoyTls
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields

_OWN: Final = "own-certificate"
_PICKERS: Final = "authority-of-pickers"


def identity_files(tls: EnvoyTls) -> Mapping[str, str]:
    """What the two files are to hold, JSON by file name."""
    own = {
        "tlsCertificate": {
            "certificateChain": {"filename": tls.cert_file},
            "privateKey": {"filename": tls.key_file},
            "watchedDirectory": _folder(tls.cert_file),
        },
    }
    pickers = {
        "validationContext": {
            "trustedCa": {"filename": tls.ca_file},
            "watchedDirectory": _folder(tls.ca_file),
            "matchTypedSubjectAltNames": [{"sanType": "DNS", "matcher": {"exact": tls.picker_name}}],
        },
    }
    return {_file(name): _resource(name, secret) for name, secret in ((_OWN, own), (_PICKERS, pickers))}


def by_identity_files(folder: str) -> Fields:
    """Of a TLS context: what the two files in this folder say."""
    return {
        "tlsCertificateSdsSecretConfigs": [_served(folder, _OWN)],
        "validationContextSdsSecretConfig": _served(folder, _PICKERS),
    }


def _served(folder: str, name: str) -> Fields:
    source = {"path": str(Path(folder, _file(name)))}
    return {"name": name, "sdsConfig": {"pathConfigSource": source, "resourceApiVersion": "V3"}}


def _resource(name: str, secret: Fields) -> str:
    checked = Secret.from_dict({"name": name, **secret}).to_dict()
    return json.dumps({"resources": [{"@type": names.SECRET_TYPE, **checked}]})


def _file(name: str) -> str:
    return f"{name}.json"


def _folder(file: str) -> Fields:
    return {"path": str(Path(file).parent)}
