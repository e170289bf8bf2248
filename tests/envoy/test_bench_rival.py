"""Another project's picker stands beside ours in the benchmark: any program that serves ext_proc will do."""

import sys

import aiohttp
import pytest
from bench.rival import VARIABLE
from bench.stack import RIVAL, Stack

pytestmark = pytest.mark.envoy

# our own picker in the rival's place: a program of PORT and FILE
_SCRIPT = """\
#!/bin/sh
exec {python} - "$@" <<'END'
import json, pathlib, sys
from pilotage_cli.main import run
port, listed = sys.argv[1], pathlib.Path(sys.argv[2])
places = [one.rpartition(":") for one in listed.read_text().split()]
pool = {pool}
pool["spec"]["endpoints"] = [dict(address=host, port=int(port)) for host, _, port in places]
folder = listed.with_name("manifests")
folder.mkdir()
(folder / "pool.yaml").write_text(json.dumps(pool))
sys.argv[1:] = ["extproc", "-f", str(folder)]
sys.argv += ["--extproc-listen", "127.0.0.1:" + port, "--admin", "127.0.0.1:0"]
run()
END
"""
_POOL = {
    "apiVersion": "pilotage.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "rival"},
    "spec": {"engine": "vllm", "models": [{"name": "auto"}]},
}


async def test_a_program_given_as_the_rival_answers_picks(tmp_path, monkeypatch):
    program = tmp_path / "rival"
    program.write_text(_SCRIPT.format(python=sys.executable, pool=_POOL))
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    async with Stack(RIVAL, 3, full_duplex=True) as stack, aiohttp.ClientSession() as session:
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
        async with session.post(f"{stack.url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            assert (await answer.json())["choices"]
        assert stack.picker.returncode is None
