"""Which providers can be used, by name, by each address, and by their credential."""

import pytest
from envoy.config.endpoint.v3 import endpoint_pb2

from pilotage_api.external_snapshot import CredentialSnapshot, ExternalSnapshot, ProviderDialect
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.domain.providers import provider_address
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.server.provider_pools import ProviderPools
from pilotage_extproc.server.provider_secret_sources import LocalSecrets
from pilotage_extproc.sources.provider_credentials import CredentialFiles

KEY = "default/hosted"
ADDRESS = provider_address(KEY)


def hosted(key: str = KEY, *, host: str = "api.openai.com", file: str | None = None) -> PoolSnapshot:
    credential = None if file is None else CredentialSnapshot(header="authorization", prefix="", file=file)
    return PoolSnapshot(
        key=key,
        engine=Engine.OPENAI,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=("gpt-x",),
        external=ExternalSnapshot(host=host, port=443, dialect=ProviderDialect.OPENAI, credential=credential),
    )


def pools(*made: PoolSnapshot, **settings) -> ProviderPools:
    following = ProviderPools(
        GatewaySettings.model_validate(settings),
        LocalSecrets(CredentialFiles({})),
        in_cluster=False,
        on_change=lambda: None,
    )
    following.follow(made)
    return following


def refresh(following: ProviderPools, *addresses: str, refused: dict[str, str] | None = None):
    return following.refresh(lambda _host: list(addresses), refused or {})


def served(one) -> list[str]:
    """The addresses Envoy is given."""
    [content] = one.resources[names.ENDPOINTS_TYPE].values()
    assignment = endpoint_pb2.ClusterLoadAssignment.FromString(content)
    found = [e.endpoint.address.socket_address for part in assignment.endpoints for e in part.lb_endpoints]
    return [f"{socket.address}:{socket.port_value}" for socket in found]


def test_a_provider_that_can_be_used_has_one_endpoint():
    following = pools(hosted())
    [made] = refresh(following, "1.1.1.1", "8.8.8.8")
    assert served(made) == ["1.1.1.1:443", "8.8.8.8:443"]
    assert following.members(KEY) == (ADDRESS,)
    assert following.needs(KEY) is Reach.PROVIDERS
    assert following.problems() == {}


def test_of_the_addresses_of_a_name_those_that_are_not_allowed_are_dropped():
    [made] = refresh(pools(hosted()), "10.0.0.1", "8.8.8.8", "169.254.169.254", "::1")
    assert served(made) == ["8.8.8.8:443"]


@pytest.mark.parametrize(
    ("addresses", "reason"), [((), "NameNotResolved"), (("169.254.169.254",), "AddressNotAllowed")]
)
def test_a_name_behind_which_nothing_allowed_stands_is_not_used(addresses, reason):
    following = pools(hosted())
    assert refresh(following, *addresses) == []
    assert following.members(KEY) == ()
    assert following.problems()[KEY].reason == reason


def test_a_name_that_turns_to_a_private_address_is_used_no_more():
    following = pools(hosted())
    refresh(following, "8.8.8.8")
    assert refresh(following, "127.0.0.1") == []
    assert following.members(KEY) == ()


def test_what_envoy_refuses_stays_offered_and_gets_no_requests():
    following = pools(hosted(), hosted("default/other"))
    made = refresh(following, "8.8.8.8", refused={ADDRESS: "bad CA"})
    assert len(made) == 2
    assert following.members(KEY) == ()
    assert following.members("default/other") == (provider_address("default/other"),)
    assert following.problems()[KEY].message == "Envoy does not take it: bad CA"


def test_what_did_not_change_is_not_made_anew(tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-1")
    following = pools(hosted(file=str(key)))
    [before], [after] = refresh(following, "8.8.8.8"), refresh(following, "8.8.8.8")
    assert after is before
    [changed] = refresh(following, "1.1.1.1")
    assert changed is not before


def test_a_pool_that_names_another_host_names_its_secret_and_addresses_anew(tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-1")
    [one] = refresh(pools(hosted(file=str(key))), "8.8.8.8")
    [other] = refresh(pools(hosted(host="api.other.example", file=str(key))), "8.8.8.8")
    for kind in (names.SECRET_TYPE, names.ENDPOINTS_TYPE):
        assert not one.resources[kind].keys() & other.resources[kind].keys()


def test_a_credentials_text_is_not_read_into_what_envoy_is_given(tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-SECRET")
    [made] = refresh(pools(hosted(file=str(key))), "8.8.8.8")
    assert not any(b"SECRET" in one for found in made.resources.values() for one in found.values())
