import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tools.addresses import AllowList, refusal


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - nothing is bound
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.100.100.200", "carrier-grade NAT"),
        ("169.254.169.254", "link-local"),
        ("168.63.129.16", "cloud metadata"),
        ("192.0.0.192", "reserved"),
        ("198.19.0.1", "benchmarking"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fd00:ec2::254", "private"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::127.0.0.1", "reserved"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::a00:1", "reserved"),
        ("2002:7f00:1::", "6to4"),
        ("2001:0:1::1", "Teredo"),
        ("2001:db8::1", "documentation"),
        ("100::1", "reserved"),
        ("4000::1", "reserved"),
        ("example.org", "not an address"),
        ("", "not an address"),
    ],
)
def test_what_is_not_of_the_public_internet_is_refused_with_its_reason(address, reason):
    assert refusal(address) == reason


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"]
)
def test_public_addresses_pass(address):
    assert refusal(address) is None


@settings(deadline=None, max_examples=300)
@given(st.ip_addresses())
def test_what_passes_is_global_by_the_standard_librarys_judgement_too(address):
    if refusal(str(address)) is None and address not in ipaddress.ip_network("64:ff9b::/96"):
        assert address.is_global
        assert not address.is_multicast


@settings(deadline=None, max_examples=200)
@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_itself(address):
    assert refusal(f"::ffff:{address}") == refusal(str(address)) == refusal(f"64:ff9b::{address}")


def test_the_allow_list_knows_a_host_by_any_spelling_and_only_with_its_port():
    allow = AllowList.parse(["LocalHost:8099", "[0:0::1]:80", "10.0.0.5:443"])

    assert allow.opens("localhost", 8099)
    assert allow.opens("localhost.", 8099)
    assert allow.opens("::1", 80)
    assert not allow.opens("localhost", 8098)
    assert not allow.opens("10.0.0.5", 80)
    assert not AllowList().opens("localhost", 80)


@pytest.mark.parametrize(
    "entry",
    ["localhost", ":80", "localhost:", "localhost:0", "localhost:65536", "::1:80", "http://a:80", "*:80", "a:8o"],
)
def test_an_entry_that_is_not_host_and_port_is_refused_by_name(entry):
    with pytest.raises(ValueError, match=r"host:port|port between"):
        AllowList.parse([entry])
