"""The gateway's settings as a document."""

import pytest
from api_manifests import brief, load, only
from pydantic import ValidationError

from pilotage_api.load import load_texts
from pilotage_api.settings import DecisionHeaders, GatewaySettings, ListenSettings


def document(spec, **more):
    return {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": spec, **more}


def test_settings_are_read():
    loaded = load(document({"decisionHeaders": "full", "body": {"maxBytes": 4096}}))
    assert loaded.findings == []
    assert loaded.settings == GatewaySettings.model_validate(
        {"decisionHeaders": "full", "body": {"maxBytes": 4096}}
    )


@pytest.mark.parametrize("written", ["off", "Off", "'off'", '"off"'])
def test_an_unquoted_off_is_off(written):
    text = f"apiVersion: pilotage.dev/v1alpha1\nkind: GatewaySettings\nspec: {{decisionHeaders: {written}}}\n"
    loaded = load_texts([("pilotage.yaml", text)])
    assert loaded.findings == []
    assert loaded.settings == GatewaySettings(decision_headers=DecisionHeaders.OFF)


def test_an_unquoted_on_is_an_error_that_names_what_there_is():
    finding = only(load(document({"decisionHeaders": True})).findings)
    assert "'off', 'summary' or 'full'" in finding.message


def test_settings_without_a_spec_are_the_defaults():
    assert load(document(None)).settings == GatewaySettings()


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"bodi": {}}, "spec.bodi"),
        ({"body": {"maxByte": 4096}}, "spec.body.maxByte"),
        ({"body": {"maxBytes": 1}}, "spec.body.maxBytes"),
        ({"listen": {"gateway": "8080"}}, "spec.listen.gateway"),
        ({"listen": {"gateway": "127.0.0.1:99999"}}, "spec.listen.gateway"),
        ({"listen": {"gateway": "::1:80"}}, "spec.listen.gateway"),
        ({"namespaces": []}, "spec.namespaces"),
        ({"namespaces": ["a", "Team_A"]}, "spec.namespaces[1]"),
        ({"decisionHeaders": "all"}, "spec.decisionHeaders"),
        ([], "spec"),
    ],
)
def test_a_wrong_setting_names_its_path_and_keeps_nothing(spec, path):
    loaded = load(document(spec))
    finding = only(loaded.findings)
    assert (finding.path, loaded.settings) == (path, None)
    assert str(finding.resource) == "GatewaySettings pilotage"


def test_a_misspelt_spec_is_not_silently_the_defaults():
    loaded = load(document({}) | {"spce": {"decisionHeaders": "full"}})
    assert only(loaded.findings).fix == "did you mean 'spec'?"
    assert loaded.settings is None


def test_second_settings_do_not_count():
    loaded = load(document({"maxAttempts": 2}), document({"maxAttempts": 5}))
    assert brief(loaded.findings) == [("error", "duplicate", "metadata.name")]
    assert loaded.settings is not None
    assert loaded.settings.max_attempts == 2


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:8080", ":9002", "localhost:65535"])
def test_addresses_people_write_are_taken(address):
    assert ListenSettings(gateway=address).gateway == address


@pytest.mark.parametrize("address", ["", "x", "a:b", "a:-1", "a:65536", "1:2:3", "a:²"])
def test_an_address_that_is_none_says_how_to_write_one(address):
    with pytest.raises(ValidationError, match="such as"):
        ListenSettings(gateway=address)


FILES = {"certFile": "tls.crt", "keyFile": "tls.key"}


def test_peers_whose_certificates_nobody_could_verify_are_refused_with_the_fix():
    spec = {"tls": {"extproc": "self-signed"}, "peers": ["10.0.0.2:9002"]}
    loaded = load(document(spec))
    finding = only(loaded.findings)
    assert (finding.path, loaded.settings) == ("spec.peers", None)
    assert "name certFile and keyFile, the same for all, in tls.extproc" in finding.message


@pytest.mark.parametrize(
    "spec",
    [
        {"peers": ["10.0.0.2:9002"]},
        {"tls": {"extproc": FILES}, "peers": ["10.0.0.2:9002"]},
        {"tls": {"extproc": "self-signed"}},
    ],
)
def test_peers_and_tls_that_go_together_are_read(spec):
    assert load(document(spec)).settings == GatewaySettings.model_validate(spec)


@pytest.mark.parametrize(
    "cors",
    [
        {"allowOrigins": ["*", "https://a.example"]},
        {"allowOrigins": ["*"], "allowCredentials": True},
        {"allowOrigins": ["https://a.example/path"]},
        {"allowOrigins": ["a.example"]},
        {"allowHeaders": ["x y"]},
    ],
)
def test_cors_that_browsers_would_refuse_or_that_lets_in_anyone_is_an_error(cors):
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({"cors": cors})


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_time_zone_is_one_that_there_is(zone):
    loaded = load(document({"timeZone": zone}))
    assert loaded.findings == []
    assert loaded.settings is not None
    assert loaded.settings.time_zone == zone


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../../etc/passwd", "/etc/passwd", "x" * 65, "\x00"])
def test_an_unknown_time_zone_is_an_error(zone):
    finding = only(load(document({"timeZone": zone})).findings)
    assert (finding.code, finding.path) == ("invalid-value", "spec.timeZone")


def test_an_unknown_time_zone_is_told_the_nearest():
    assert (
        "did you mean 'Europe/Berlin'?" in only(load(document({"timeZone": "Europe/Berln"})).findings).message
    )
