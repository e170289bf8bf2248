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
        *("168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192", "100.100.100.200"),
        *("::127.0.0.1", "::2", "::ffff:0:8.8.8.8", "fec0::1", "4000::1", "8000::1"),
        *("fd00::1", "::", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:a::1", "::ffff:10.0.0.1"),
    ],
)
def test_what_is_not_the_public_internet_is_refused(address):
    for in_cluster in (True, False):
        assert address_problem(address, ANY, in_cluster=in_cluster)


@pytest.mark.parametrize(
    "address",
    [
        *("::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::169.254.169.254"),
        *("2002:7f00:1::1", "2002:a9fe:a9fe::", "2001:0:808:808::5601:5601"),
        *("168.63.129.16", "64:ff9b::168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200"),
    ],
)
def test_in_a_cluster_no_network_opens_what_is_translated_to_the_machine_or_its_metadata(address):
    networks = ("::/16", "64:ff9b::/32", "2002::/16", "2001::/32", "fc00::/7", "100.64.0.0/10", "168.0.0.0/8")
    everything = ProviderSettings(networks=networks)
    problem = address_problem(address, everything, in_cluster=True)
    assert "loopback or link-local" in problem or "metadata service" in problem


def test_a_network_of_translated_addresses_can_be_opened():
    nat64 = ProviderSettings(networks=("64:ff9b::/96",))
    assert not address_problem("64:ff9b::8.8.8.8", nat64, in_cluster=True)


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
