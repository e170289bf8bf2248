"""The wheel outside a checkout: built without a network, installed into an environment of its own.

What Pilotage depends on is not installed again: the new environment sees the packages of the one that runs
the tests, but none of its `.pth` files, so the checkout (an editable install) is not there.
"""

import os
import signal
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from free_ports import free_ports
from up_process import Up

ROOT = Path(__file__).parents[2]
Pilotage = Callable[..., "subprocess.CompletedProcess[str]"]


def ran(command: list[object], where: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=110,
        env={**inherited, "COLUMNS": "200", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `pilotage` command of the installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    built = ran([*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, ROOT], folder)
    assert built.returncode == 0, built.stdout + built.stderr
    [wheel] = folder.glob("*.whl")
    fresh = folder / "environment"
    venv.create(fresh, symlinks=True)
    python = fresh / "bin" / "python"
    installed = ran([*pip, "--python", python, "install", *offline, wheel], folder)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    [packages] = (fresh / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    place = ran([python, "-c", "import pilotage_cli; print(pilotage_cli.__file__)"], folder)
    assert place.stdout.startswith(str(packages)), place.stdout + place.stderr
    return fresh / "bin" / "pilotage"


@pytest.fixture
def pilotage(program: Path, tmp_path: Path) -> Pilotage:
    """Runs the command in an empty folder."""
    return lambda *arguments, **environment: ran([program, *arguments], tmp_path, **environment)


def test_it_tells_its_version(pilotage: Pilotage) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    told = pilotage("--version")
    assert (told.returncode, told.stdout, told.stderr) == (0, f"pilotage {version}\n", "")


def test_the_demo_runs(pilotage: Pilotage) -> None:
    shown = pilotage("demo")
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout + shown.stderr
    assert "outcome  200" in shown.stdout


def test_what_init_writes_checks_clean_and_is_never_overwritten(pilotage: Pilotage, tmp_path: Path) -> None:
    assert pilotage("init", "gateway").returncode == 0
    assert sorted(path.name for path in (tmp_path / "gateway").iterdir()) == [
        "pilotage.yaml",
        "policies.yaml",
        "pools.yaml",
    ]
    checked = pilotage("check", "-f", "gateway")
    assert (checked.returncode, checked.stdout) == (0, "1 pool, 1 policy, 0 errors, 0 warnings\n")
    (tmp_path / "gateway" / "pools.yaml").write_text("mine")
    again = pilotage("init", "gateway")
    assert again.returncode == 2
    assert again.stderr == (
        "pilotage: gateway has pilotage.yaml, policies.yaml, pools.yaml already: name another folder\n"
    )
    assert (tmp_path / "gateway" / "pools.yaml").read_text() == "mine"


@pytest.mark.parametrize("named", [False, True], ids=["the quickstart", "what init writes"])
async def test_up_simulates_a_gateway(program: Path, pilotage: Pilotage, tmp_path: Path, named: bool) -> None:
    folder = tmp_path / "gateway"
    assert pilotage("init", "gateway").returncode == 0
    pools = (folder / "pools.yaml").read_text()
    for written, free in zip(("8101", "8102"), free_ports(2), strict=True):
        assert written in pools
        pools = pools.replace(written, str(free))
    (folder / "pools.yaml").write_text(pools)
    up = Up(folder, program=[str(program)], named=named)
    await up.start()
    try:
        assert await up.ask() == 200
    finally:
        up.process.send_signal(signal.SIGINT)
        await up.ended()
    assert list(up.temporary.iterdir()) == []


def test_up_without_a_folder_says_what_to_do(pilotage: Pilotage) -> None:
    refused = pilotage("up")
    assert refused.returncode == 2
    assert "pilotage init DIR" in refused.stderr


def test_shells_complete_its_commands(program: Path, pilotage: Pilotage, tmp_path: Path) -> None:
    found = pilotage(_PILOTAGE_COMPLETE="complete_bash", COMP_WORDS="pilotage de", COMP_CWORD="1")
    assert found.stdout.split() == ["demo"]
    # which shell asks is read from the processes above: `exit` keeps bash from becoming the command
    asked = ran(["bash", "-c", f"{program} --show-completion; exit $?"], tmp_path)
    assert "complete" in asked.stdout, asked.stderr
