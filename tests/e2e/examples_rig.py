"""A gateway on a folder of examples, with simulated servers on free ports in place of the ones it names."""

import re
from dataclasses import dataclass
from pathlib import Path

from free_ports import free_ports
from gateway_rig import GatewayRig

from pilotage_api.load import load_texts

EXAMPLES = Path(__file__).parents[2] / "examples"
_PORT = re.compile(r"port: \d+")


@dataclass
class ExamplesRig(GatewayRig):
    """The example's own pools, policies and settings."""

    name: str = "rules"

    def write_manifests(self) -> None:
        """Copies of its files."""
        texts = {path.name: path.read_text() for path in sorted((EXAMPLES / self.name).glob("*.yaml"))}
        ports = iter(free_ports(sum(len(_PORT.findall(text)) for text in texts.values())))
        for name, text in texts.items():
            (self.folder / name).write_text(_PORT.sub(lambda _: f"port: {next(ports)}", text))
        own = load_texts(texts.items()).settings
        if own is not None:
            self.settings = {
                **own.model_dump(mode="json", by_alias=True, exclude_unset=True),
                **self.settings,
            }
