"""Where guards over HTTP may be: what a policy may write, and what the gateway's settings make of it."""

import pytest
from pydantic import ValidationError

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.guard_hosts import GuardHost, host_problem, residency_problem
from pilotage_api.load import load_texts
from pilotage_api.remote_guard import guard_host
from pilotage_api.settings import GatewaySettings

POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: own, labels: {region: eu}}
spec: {endpoints: [{address: 10.0.0.1, port: 80}], models: [{name: small}]}
"""


def compiled(guards: str, *, in_cluster: bool = False, hosts: list[dict] | None = None) -> Compiled:
    policy = f"""
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {{name: p}}
spec:
  rules: [{{candidates: [{{model: small}}]}}]
  governance: {{content: {{remote: {guards}}}}}
"""
    settings = GatewaySettings(governance={"content": {"guards": hosts or []}})
    return compile_resources(load_texts([("a.yaml", f"{POOL}---{policy}")]), settings, in_cluster=in_cluster)


def errors(found: Compiled) -> list[str]:
    """Beside that a policy which governs and is wrong refuses what it matches."""
    found_errors = [one for one in found.findings if one.severity == "error" and one.code != "refuses"]
    return [f"{one.code} {one.path.rpartition('.')[2]}" for one in found_errors]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://guard/v1",
        "guard.models/v1",
        "http://",
        "http://user@guard/v1",
        "http://guard:x/v1",
        "http://guard@evil/v1",
        "http://guard/v1?to=evil",
        "http://guard/v1#x",
        "http://Guard/v1",
        "http://guard/{model}",
        "http://guard /v1",
        "http://guard\\\\@evil/",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_no_plain_url_is_refused(url: str) -> None:
    assert errors(compiled(f"[{{url: '{url}'}}]")) == ["invalid-value url"]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("timeout: 3s", "timeout"),
        ("timeout: 5ms", "timeout"),
        ("maxBytes: 10", "maxBytes"),
        ("maxConcurrent: 0", "maxConcurrent"),
        ("receives: everything", "receives"),
        ("onError: skip", "onError"),
    ],
)
def test_bounds_are_bounded(more: str, what: str) -> None:
    assert errors(compiled(f"[{{url: 'http://guard/v1', {more}}}]")) == [f"invalid-value {what}"]


def test_a_port_that_there_is_not_is_refused() -> None:
    for port in (0, 65536):
        assert errors(compiled(f"[{{url: 'http://guard:{port}/v1'}}]")) == ["invalid-value url"]


def test_outside_a_cluster_any_host_may_be_named_until_some_are_listed() -> None:
    guards = "[{url: 'http://127.0.0.1:9/v1'}]"
    assert errors(compiled(guards)) == []
    assert errors(compiled(guards, hosts=[{"host": "other"}])) == ["host-not-allowed url"]


def test_in_a_cluster_none_but_those_listed_and_never_the_machine_itself() -> None:
    guards = "[{url: 'http://guard.models.svc:8080/v1'}]"
    assert errors(compiled(guards, in_cluster=True)) == ["host-not-allowed url"]
    assert errors(compiled(guards, in_cluster=True, hosts=[{"host": "*.models.svc"}])) == []
    for address in ("127.0.0.1", "169.254.169.254", "168.63.129.16", "0.0.0.0"):
        found = compiled(f"[{{url: 'http://{address}/v1'}}]", in_cluster=True, hosts=[{"host": address}])
        assert errors(found) == ["host-not-allowed url"]


@pytest.mark.parametrize(
    "host", ["::1", "::ffff:127.0.0.1", "fe80::1", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"]
)
def test_addresses_of_the_machine_are_seen_however_they_are_written(host: str) -> None:
    url = f"http://[{host}]/v1"
    assert guard_host(url) == host
    assert "loopback" in (told := host_problem(url, (), in_cluster=True)) or "not among" in told
    known = (GuardHost.model_construct(host=host, labels={}),)
    assert host_problem(url, known, in_cluster=True)


def test_a_host_below_a_name_is_not_the_name_itself() -> None:
    known = (GuardHost(host="*.models.svc"),)
    assert host_problem("http://a.models.svc/", known, in_cluster=True) == ""
    for host in ("models.svc", "evilmodels.svc", "models.svc.evil"):
        assert host_problem(f"http://{host}/", known, in_cluster=True)


def test_a_host_that_is_listed_twice_has_the_labels_of_both() -> None:
    known = (
        GuardHost(host="a.svc", labels={"region": "eu", "trust": "own"}),
        GuardHost(host="*.svc", labels={"region": "eu"}),
    )
    assert residency_problem("http://a.svc/", known, {"region": "eu"}) == ""
    assert residency_problem("http://a.svc/", known, {"trust": "own"})
    assert residency_problem("http://a.svc/", known, {}) == ""
    assert residency_problem("http://other/", known, {"region": "eu"})


def test_a_host_in_the_settings_is_a_name_and_nothing_else() -> None:
    for host in ("http://a", "a:80", "*", "*a.svc", "A.svc"):
        with pytest.raises(ValidationError):
            GuardHost(host=host)
