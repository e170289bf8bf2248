"""Renew what of charts/pilotage is generated: hack/chart_files.py [--check].

values.yaml and values.schema.json out of hack/chart_values.py and the gateway's settings; the CRD
templates out of crds/.
"""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

import yaml
from chart_values import ChartValues
from pydantic import BaseModel

from pilotage_api.settings import GatewaySettings, SettingsPart
from pilotage_api.validation import first_model

ROOT: Final = Path(__file__).resolve().parents[1]
CHART: Final = ROOT / "charts" / "pilotage"
OWNED_BY_THE_CHART: Final = ("listen", "tls", "adminTokenFile", "peers")
"""Settings that the chart writes itself: where parts listen, and where files are mounted."""
OWNED_OF_KUBERNETES: Final = ("namespace", "snapshotName", "owner", "replicaGroup", "pickerService")
_HEADER: Final = "# Generated from hack/chart_values.py by `make chart`; do not edit.\n"
_CRD_HEADER: Final = "{{- /* Generated from crds/ by `make chart`; do not edit. */ -}}\n"
_WIDTH: Final = 110


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    made = {
        CHART / "values.yaml": _HEADER + values_text(),
        CHART / "values.schema.json": json.dumps(schema(), indent=1, ensure_ascii=False) + "\n",
    }
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        made[CHART / "templates" / "crds" / path.name] = crd_template(path.read_text())
    return made


def schema() -> dict[str, Any]:
    """The JSON schema of the values, settings included."""
    made = ChartValues.model_json_schema()
    settings = GatewaySettings.model_json_schema()
    definitions = {**made.pop("$defs"), **settings.pop("$defs")}
    for name in OWNED_BY_THE_CHART:
        del settings["properties"][name]
    for name in OWNED_OF_KUBERNETES:
        del definitions["KubernetesSettings"]["properties"][name]
    definitions["GatewaySettings"] = settings
    made["properties"]["settings"] = {
        "$ref": "#/$defs/GatewaySettings",
        "description": made["properties"]["settings"]["description"],
    }
    # what Helm itself adds to a chart's values
    made["properties"]["global"] = {"type": "object"}
    used = _reachable({"properties": made["properties"]}, definitions)
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart pilotage",
        "type": "object",
        "additionalProperties": False,
        "properties": made["properties"],
        "$defs": {name: definitions[name] for name in sorted(used)},
    }
    return _plain(whole)


def _reachable(part: Any, definitions: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [part]
    while waiting:
        for reference in _references(waiting.pop()):
            if reference not in found:
                found.add(reference)
                waiting.append(definitions[reference])
    return found


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _plain(part: Any) -> Any:
    """Without titles made of names, and without defaults: values.yaml has those of the chart."""
    if isinstance(part, list):
        return [_plain(one) for one in part]
    if not isinstance(part, dict):
        return part
    names = part.get("type") == "object" and "properties" in part
    kept = {}
    for key, value in part.items():
        if key == "properties" and names:
            kept[key] = {name: _plain(one) for name, one in value.items()}
        elif key == "default" or (key == "title" and "$schema" not in part):
            continue
        else:
            kept[key] = _plain(value)
    return kept


def values_text() -> str:
    """values.yaml: every default, with what it means above it."""
    return "\n".join(_lines(ChartValues, ChartValues(), 0)) + "\n"


def _lines(model: type[BaseModel], value: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in model.model_fields.items():
        inner = first_model(field.annotation)
        told = field.description or (inner.__doc__ if inner else None)
        if told:
            if depth == 0:
                yield ""
            for line in textwrap.wrap(" ".join(told.split()), _WIDTH - len(indent) - 2):
                yield f"{indent}# {line}"
        held = getattr(value, name)
        if isinstance(held, SettingsPart):
            yield f"{indent}{field.alias}:"
            yield from _lines(type(held), held, depth + 1)
        else:
            plain = json.loads(json.dumps(held))
            style = (
                None if isinstance(plain, dict | list) else False
            )  # one line for what has no inner structure
            dumped = yaml.safe_dump(
                {field.alias: plain}, sort_keys=False, default_flow_style=style, width=_WIDTH
            )
            yield from (indent + line for line in dumped.rstrip().splitlines())


def crd_template(text: str) -> str:
    """A CRD as a template: a switch, what keeps it when the release goes, and the chart's labels."""
    definition = text.split("\n", 1)[1] if text.startswith("#") else text
    head, name, body = definition.partition("  name: ")
    metadata, _, rest = body.partition("\n")
    if "{{" in definition or not name or not head.endswith("metadata:\n"):
        raise ValueError("a CRD that the chart's template cannot hold")
    known = f'(dict "root" $ "name" "{metadata}")'
    lines = [
        f'{{{{- if (include "pilotage.crd.wanted" {known}) }}}}',
        f"{head}{name}{metadata}",
        "  annotations:",
        f'    {{{{- include "pilotage.crd.annotations" {known} | nindent 4 }}}}',
        rest.rstrip("\n"),
        "{{- end }}",
    ]
    return _CRD_HEADER + "\n".join(lines) + "\n"


def main(check: bool) -> int:
    """Write the files, or print which are old."""
    made = files()
    old = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    gone = sorted(set((CHART / "templates" / "crds").glob("*.yaml")) - set(made))
    for path in [*old, *gone]:
        print(f"{path.relative_to(ROOT)}: {'not current: run make chart' if check else 'renewed'}")
        if not check and path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path])
        elif not check:
            path.unlink()
    return 1 if check and (old or gone) else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
