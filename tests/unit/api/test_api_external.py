"""`ModelPool.spec.external`: a hosted API in the place of own servers."""

import pytest
from api_manifests import compiled, load, only, pool

from pilotage_api.compile import compile_resources
from pilotage_api.external_snapshot import ProviderDialect
from pilotage_api.previous_snapshot import lowered
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Engine

AUTH = {"secretRef": {"name": "openai"}}
OPENAI = {"host": "api.openai.com", "auth": AUTH}
MODELS = [{"name": "gpt-x"}]


def hosted(external=None, **spec):
    made = pool("hosted", MODELS, **spec)
    if not spec:
        made["spec"] = {"models": MODELS}
    made["spec"]["external"] = OPENAI if external is None else external
    return made


def problem(**external):
    return only(load(hosted({**OPENAI, **external})).findings)


def test_a_provider_reaches_the_snapshot_with_where_its_credential_is():
    made = only(compiled(hosted()).snapshot.pools)
    assert (made.engine, made.endpoints, made.selector) == (Engine.OPENAI, (), {})
    external = made.external
    assert (external.host, external.port, external.dialect) == ("api.openai.com", 443, ProviderDialect.OPENAI)
    assert external.credential.model_dump() == {
        "header": "authorization",
        "prefix": "Bearer ",
        "secret": {"namespace": "default", "name": "openai", "key": "token"},
        "file": None,
        "env": None,
    }


def test_a_pool_with_a_provider_needs_no_endpoints():
    assert compiled(hosted({**OPENAI, "auth": {"file": "/key"}})).findings == ()


@pytest.mark.parametrize(
    "more",
    [
        {"endpoints": [{"address": "10.0.0.1", "port": 80}]},
        {"selector": {"matchLabels": {"app": "a"}}, "targetPorts": [80]},
        {"engine": "sglang"},
    ],
)
def test_a_provider_excludes_own_servers(more):
    manifest = {**hosted(), "spec": {"models": MODELS, "external": OPENAI, **more}}
    assert only(load(manifest).findings).path == "spec.external"


@pytest.mark.parametrize(
    "prefix", ["v1", "/a?b", "/a#b", "/%2e%2e", "/a/../b", "/..", "/a//b", "/a/", "/a b"]
)
def test_a_path_prefix_leads_nowhere_else(prefix):
    assert problem(pathPrefix=prefix).path == "spec.external.pathPrefix"


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "x-api-key", "api-key", "cookie", "x-goog-api-key", "my-token", "a-secret"),
        *("host", "content-length", "transfer-encoding", "x-envoy-retry-on", "x-forwarded-for", "te"),
        *("X-Upper", "a b", ""),
    ],
)
def test_static_headers_are_neither_credentials_nor_the_gateways_own(name):
    found = problem(headers=[{"name": name, "value": "v"}])
    assert found.path.startswith("spec.external.headers[0]")


@pytest.mark.parametrize("value", ["", "a\nb", "a\r\nx: y", " a", "ö", "a\x00"])
def test_a_static_headers_value_is_one_line_of_ascii(value):
    assert problem(headers=[{"name": "x-own", "value": value}]).path == "spec.external.headers[0].value"


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        ({}, "spec.external.auth"),
        ({"file": "/key", "env": "KEY"}, "spec.external.auth"),
        ({"file": "key"}, "spec.external.auth.file"),
        ({"scheme": "header", "file": "/key"}, "spec.external.auth.header"),
        ({"header": "x-api-key", "file": "/key"}, "spec.external.auth.header"),
        ({"scheme": "header", "header": "host", "file": "/key"}, "spec.external.auth.header"),
        ({"prefix": "Token ", "file": "/key"}, "spec.external.auth.prefix"),
    ],
)
def test_a_credential_comes_from_one_place_and_has_one_header(auth, path):
    assert problem(auth=auth).path == path


def found_in_cluster(*manifests, **settings):
    loaded = load(*manifests)
    assert loaded.findings == []
    return compile_resources(loaded, GatewaySettings.model_validate(settings), in_cluster=True).findings


MUTUAL = {
    "tls": {
        "extproc": {"certFile": "/c", "keyFile": "/k"},
        "envoy": {"caFile": "/ca", "certFile": "/c", "keyFile": "/k"},
    },
    "providers": {"hosts": ["api.openai.com"], "secretNamespaces": ["default"]},
}


def test_in_a_cluster_a_provider_that_the_settings_allow_has_no_findings():
    assert found_in_cluster(hosted(), **MUTUAL) == ()


def test_in_a_cluster_all_that_the_settings_lack_is_told():
    codes = [one.code for one in found_in_cluster(hosted())]
    assert codes == ["host-not-allowed", "tls-not-mutual", "secrets-not-read"]


def test_in_a_cluster_files_and_variables_are_refused():
    for source in ({"file": "/key"}, {"env": "KEY"}):
        findings = found_in_cluster(hosted({**OPENAI, "auth": source}), **MUTUAL)
        assert [one.code for one in findings] == ["not-in-cluster"]


def test_outside_a_cluster_secrets_are_not_read():
    assert [one.code for one in compiled(hosted()).findings] == ["only-in-cluster"]


@pytest.mark.parametrize("field", ["fail_open_pool", "other_paths", "other_bodies"])
def test_what_nobody_decided_on_never_goes_to_a_provider(field):
    pool_name = "default/hosted"
    value = pool_name if field == "fail_open_pool" else {"action": "forward", "pool": pool_name}
    codes = [one.code for one in compiled(hosted(), **{field: value}).findings]
    assert "external-pool" in codes


@pytest.mark.parametrize("more", [{"dialect": "azure"}, {"apiVersion": "2024-10-21"}])
def test_azure_needs_its_version_and_nobody_else_does(more):
    assert problem(**more).path == "spec.external.apiVersion"


@pytest.mark.parametrize("host", ["https://api.openai.com", "a b", "-a.com", "1.2.3", "a:b"])
def test_a_host_is_a_name(host):
    assert problem(host=host).path == "spec.external.host"


def test_the_format_before_says_a_provider_as_a_pool_without_servers():
    made = lowered(compiled(hosted()).snapshot).snapshot
    assert made is not None
    assert only(made.pools).endpoints == ()
