"""The commands as a person runs them."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import yaml
from free_ports import free_ports
from up_process import COMMAND

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"


def pilotage(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )


def test_the_demo_runs_through_by_itself():
    ran = pilotage("demo")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "policy default/auto, rule small-first" in ran.stdout
    assert "outcome  200" in ran.stdout
    assert "pilotage up --sim" in ran.stdout
    assert ran.stderr == ""


def test_the_example_checks_clean():
    ran = pilotage("check", "-f", str(EXAMPLE))
    assert (ran.returncode, ran.stdout.strip()) == (0, "2 pools, 2 policies, 0 errors, 0 warnings")


def test_check_names_file_field_and_fix_and_exits_1(folder):
    text = (folder / "all.yaml").read_text().replace("candidates:", "candidatez:")
    (folder / "all.yaml").write_text(text)
    ran = pilotage("check", "-f", str(folder))
    assert ran.returncode == 1
    assert "RoutePolicy default/auto spec.rules[0].candidatez (all.yaml:" in ran.stdout
    assert "did you mean 'candidates'?" in ran.stdout
    told = json.loads(pilotage("check", "-f", str(folder), "--output", "json").stdout)
    assert told["errors"] >= 1
    assert {"severity", "code", "resource", "path", "message", "fix"} <= told["findings"][0].keys()


def test_a_folder_that_is_not_there_is_one_line_and_exit_2(tmp_path):
    ran = pilotage("check", "-f", str(tmp_path / "no"))
    assert ran.returncode == 2
    assert ran.stderr.strip() == f"pilotage: {tmp_path / 'no'} does not exist: name a folder of manifests"


def test_explain_decides_a_request_file_offline(folder):
    request = {"path": "/v1/chat/completions", "body": {"model": "auto", "messages": [{"role": "user"}]}}
    (folder / "request.txt").write_text(json.dumps(request))
    ran = pilotage("explain", "-f", str(folder), "--request", str(folder / "request.txt"))
    assert ran.returncode == 0, ran.stderr
    assert "policy default/auto, rule rules[0]" in ran.stdout
    request["body"]["model"] = "nope"
    (folder / "request.txt").write_text(json.dumps(request))
    ran = pilotage("explain", "-f", str(folder), "--request", str(folder / "request.txt"))
    assert (ran.returncode, "404 model_not_found" in ran.stdout) == (1, True)


@pytest.mark.parametrize("flag", ["--listen", "--extproc-listen", "--admin"])
def test_an_address_that_is_none_is_told_by_its_flag(folder, flag):
    ran = pilotage("up", "-f", str(folder), flag, "nonsense")
    assert ran.returncode == 2
    assert ran.stderr.strip() == (
        f"pilotage: {flag} 'nonsense': not an address: write HOST:PORT, such as 127.0.0.1:8080"
    )


def test_a_peer_whose_certificate_could_not_be_verified_is_told_by_its_flag(folder):
    spec = {"tls": {"extproc": "self-signed"}}
    settings = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": spec}
    (folder / "pilotage.yaml").write_text(yaml.safe_dump(settings))
    ran = pilotage("extproc", "-f", str(folder), "--peer", "127.0.0.1:9002")
    assert ran.returncode == 2
    assert ran.stderr.startswith("pilotage: --peer ")
    assert "name certFile and keyFile, the same for all, in tls.extproc" in ran.stderr


def test_an_unknown_log_level_is_told_with_those_there_are(folder):
    ran = pilotage("up", "-f", str(folder), "--log-level", "foo")
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert "warning" in ran.stderr


def test_an_envoy_admin_address_in_use_is_told_before_anything_starts(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        spec = {"listen": {"envoyAdmin": f"127.0.0.1:{port}", "gateway": "127.0.0.1:0"}}
        settings = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": spec}
        (folder / "pilotage.yaml").write_text(yaml.safe_dump(settings))
        free = [f"127.0.0.1:{port}" for port in free_ports(2)]
        ran = pilotage("up", "-f", str(folder), "--sim", "--extproc-listen", free[0], "--admin", free[1])
    assert ran.returncode == 2
    assert f"listen.envoyAdmin 127.0.0.1:{port} is in use" in ran.stderr


def test_commands_that_need_no_gateway_do_not_wait_for_its_classes():
    code = (
        "import sys, pilotage_cli.main as main; main.application();"
        "print([one for one in ('envoy_data_plane', 'envoy', 'grpc', 'numpy') if one in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def test_explain_without_a_gateway_says_so():
    ran = pilotage("explain", "--admin", f"127.0.0.1:{free_ports(1)[0]}")
    assert ran.returncode == 2
    assert "no gateway's admin on 127.0.0.1" in ran.stderr


async def test_up_serves_until_interrupted_and_leaves_nothing_running(up):
    assert await up.ask() == 200
    explained = pilotage("explain", "--admin", f"127.0.0.1:{up.admin}")
    assert "policy default/auto" in explained.stdout
    decision = re.search(r"decision (\S+)", explained.stdout)
    assert decision
    again = pilotage("explain", decision[1], "--admin", f"127.0.0.1:{up.admin}", "--output", "json")
    assert json.loads(again.stdout)["decision"] == decision[1]
    for id_ in ("../../etc", "a/b?c#d", "%2e%2e"):
        asked = pilotage("explain", id_, "--admin", f"127.0.0.1:{up.admin}")
        assert asked.returncode == 1
        assert f"no decision {id_} here" in asked.stderr
    elsewhere = pilotage("explain", "--admin", f"127.0.0.1:{up.gateway}")
    assert elsewhere.returncode in (1, 2)
    assert "Traceback" not in elsewhere.stderr
    envoy_admin = re.search(r"Envoy's admin on (http://127.0.0.1:\d+)", up.output)
    assert envoy_admin
    async with aiohttp.ClientSession() as session, session.get(f"{envoy_admin[1]}/ready") as answer:
        assert answer.status == 200
    envoy = up.envoy_pid()
    up.process.send_signal(signal.SIGINT)
    assert await up.ended() == 0
    assert "fork_posix" not in up.output
    assert "stopped" in up.output
    assert not Path(f"/proc/{envoy}").exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", up.gateway)) != 0


async def test_up_ends_when_envoy_dies_and_says_so(up):
    os.kill(up.envoy_pid(), signal.SIGKILL)
    assert await up.ended() == 1
    assert "Envoy ended with -9" in up.output


async def test_up_refuses_an_address_in_use(up, folder):
    ran = pilotage("up", "-f", str(folder), "--listen", f"127.0.0.1:{up.gateway}")
    assert ran.returncode == 2
    assert f"listen.gateway 127.0.0.1:{up.gateway} is in use" in ran.stderr
    assert await up.ask() == 200


async def test_up_reports_a_bad_file_and_goes_on(up):
    (up.folder / "bad.yaml").write_text("kind: [")
    assert up.process.stdout is not None
    while "bad.yaml" not in up.output:
        up.output += (await asyncio.wait_for(up.process.stdout.readline(), 10)).decode()
    assert await up.ask() == 200
