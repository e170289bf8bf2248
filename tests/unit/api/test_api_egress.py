"""Where requests to providers may go, by name and by address."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_api.egress import address_problem, host_problem
from pilotage_api.provider_settings import ProviderSettings

ANY = ProviderSettings()
OPENAI = ProviderSettings(hosts=("api.openai.com", "*.openai.azure.com"))


@pytest.mark.parametrize("host", ["api.openai.com", "one.openai.azure.com", "a.b.openai.azure.com"])
def test_in_a_cluster_hosts_of_the_list_are_allowed(host):
    assert host_problem(host, OPENAI, in_cluster=True) == ""


@pytest.mark.parametrize(
    "host", ["openai.com", "api.openai.com.evil.example", "openai.azure.com", "xopenai.azure.com", "8.8.8.8"]
)
def test_in_a_cluster_others_are_not(host):
    assert "providers.hosts" in host_problem(host, OPENAI, in_cluster=True)


def test_in_a_cluster_an_empty_list_allows_nothing_and_outside_one_anything():
    assert host_problem("api.openai.com", ANY, in_cluster=True)
    assert not host_problem("api.openai.com", ANY, in_cluster=False)


INSIDE = [
    "kubernetes",
    "kubernetes.default.svc",
    "a.svc.cluster.local",
    "metadata.google.internal",
    "a.local",
]


@pytest.mark.parametrize("host", INSIDE)
def test_names_inside_a_cluster_are_refused_even_where_they_are_listed(host):
    listed = ProviderSettings(hosts=(host,), networks=("10.0.0.0/8",))
    assert "inside" in host_problem(host, listed, in_cluster=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1"])
def test_in_a_cluster_loopback_and_link_local_are_refused_whatever_the_settings_say(address):
    everything = ProviderSettings(networks=("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"))
    assert "loopback or link-local" in address_problem(address, everything, in_cluster=True)


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"),
        *("fd00::1", "::", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:a::1", "::ffff:10.0.0.1"),
    ],
)
def test_what_is_not_the_public_internet_is_refused(address):
    for in_cluster in (True, False):
        assert address_problem(address, ANY, in_cluster=in_cluster)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address):
    assert not address_problem(address, ANY, in_cluster=True)


def test_a_network_of_the_settings_is_allowed_and_no_more_than_that():
    own = ProviderSettings(networks=("10.20.0.0/16",))
    assert not address_problem("10.20.3.4", own, in_cluster=True)
    assert address_problem("10.21.3.4", own, in_cluster=True)


@given(st.ip_addresses())
def test_no_address_of_a_private_network_is_ever_allowed_by_default(address):
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        assert address_problem(str(address), ANY, in_cluster=True)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_the_same_when_it_is_mapped_into_ipv6(address):
    mapped = str(ipaddress.IPv6Address(f"::ffff:{address}"))
    plain = address_problem(str(address), ANY, in_cluster=True)
    assert bool(plain) == bool(address_problem(mapped, ANY, in_cluster=True))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "ten"])
def test_networks_that_are_everything_or_none_are_refused(network):
    with pytest.raises(ValueError, match="network"):
        ProviderSettings(networks=(network,))
