"""The repository keeps its own rules: small files, documented dependencies, true documents."""

import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from pilotage_cli.main import application

ROOT = Path(__file__).parents[3]
PACKAGES = [ROOT / "api", ROOT / "kube", ROOT / "operator", ROOT / "extproc", ROOT / "cli", ROOT / "sim"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]


def test_no_file_of_a_package_is_longer_than_400_lines():
    long = {
        str(path.relative_to(ROOT)): count
        for package in PACKAGES
        for path in package.rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_every_direct_dependency_has_its_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"]]
    for group in project["dependency-groups"].values():
        wanted += group
    # a group may hold another one's name instead of a package
    names = {re.split(r"[<>=;\[ ]", one)[0] for one in wanted if isinstance(one, str)}
    text = (ROOT / "docs" / "dependencies.md").read_text()
    assert {name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)} == set()


def test_the_tables_of_fields_are_current():
    renewed = runpy.run_path(str(ROOT / "hack" / "field_tables.py"))["with_tables"]
    old = [
        path.name for path in (ROOT / "docs").glob("*.md") if renewed(path.read_text()) != path.read_text()
    ]
    assert old == [], "run make tables"


def shell_lines() -> list[tuple[str, str]]:
    """Every command line in a shell block of a document."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.partition("#")[0].strip()
                if command:
                    found.append((document.name, command))
    return found


@pytest.mark.parametrize(("document", "command"), shell_lines())
def test_commands_in_documents_exist(document, command):
    words = command.split()
    while words and re.match(r"^[A-Z_]+=", words[0]):
        words.pop(0)
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert set(words[1:]) <= targets
    elif words[0].endswith("pilotage"):
        commands = typer.main.get_command(application()).commands
        assert words[1] in commands
        command = commands[words[1]]
        if isinstance(command, typer.core.TyperGroup):
            command = command.commands[words[2]]
        known = {option for parameter in command.params for option in parameter.opts}
        used = {word.partition("=")[0] for word in words[2:] if re.match(r"^--?[a-z]", word)}
        assert used <= known | {"--help"}
    elif words[0].startswith("hack/"):
        assert (ROOT / words[0]).exists()


def test_links_between_documents_lead_somewhere():
    broken = [
        (document.name, target)
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_make_help_lists_the_targets_of_the_readme():
    told = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    for target in ("setup", "demo", "test", "lint", "bench"):
        assert re.search(rf"^\s+{target}\s", told, re.MULTILINE)


def test_the_image_holds_every_package_and_its_build_sees_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {one.split("/")[0] for one in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    copied = set(re.findall(r"^COPY (\w+) \w+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    seen = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)) - {"LICENSE"}
    assert copied == folders == seen
