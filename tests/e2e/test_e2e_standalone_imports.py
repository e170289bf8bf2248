"""What a gateway without a cluster never loads."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from free_ports import free_ports

CLUSTER_ONLY = ("kubernetes", "kopf", "requests")
CODE = f"""
import atexit, sys
loaded = lambda: print("loaded:", [one for one in {CLUSTER_ONLY} if one in sys.modules], flush=True)
atexit.register(loaded)
from pilotage_cli.main import run
run()
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def loaded(output: str) -> str:
    [found] = re.findall(r"^loaded: (.*)$", output, re.MULTILINE)
    return found


def test_a_whole_gateway_on_one_machine_loads_nothing_of_a_cluster():
    output, _ = start("demo").communicate(timeout=60)
    assert "outcome  200" in output
    assert loaded(output) == "[]"


def test_a_picker_without_a_cluster_loads_nothing_of_one(folder):
    extproc, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
    process = start("extproc", "-f", str(folder), "--extproc-listen", extproc, "--admin", admin)
    assert process.stdout is not None
    said = ""
    while "picker on" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert loaded(output) == "[]"


def test_a_command_for_a_cluster_loads_the_clusters_client(tmp_path: Path):
    (tmp_path / "config").write_text("nonsense")
    output, _ = start("check", "--kubeconfig", str(tmp_path / "config")).communicate(timeout=60)
    assert "is not a kubeconfig" in output
    assert loaded(output) == "['kubernetes', 'requests']"
