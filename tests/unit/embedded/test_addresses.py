import ipaddress
import socket

import pytest

from ordinaut_project.embedded import addresses
from ordinaut_project.embedded.addresses import LOOPBACK, answered_hosts, in_url, own_addresses


@pytest.fixture
def _machine(monkeypatch):
    own = ["127.0.0.1", "192.0.2.7", "198.51.100.7", "::1", "2001:db8::7"]
    monkeypatch.setattr(addresses, "own_addresses", lambda: iter(map(ipaddress.ip_address, own)))
    monkeypatch.setattr("socket.gethostname", lambda: "Box")
    monkeypatch.setattr("socket.getfqdn", lambda: "box.example.org")


@pytest.mark.parametrize(
    ("host", "written"), [("::1", "[::1]"), ("2001:db8::7", "[2001:db8::7]"), ("127.0.0.1", "127.0.0.1")]
)
def test_only_an_ipv6_address_is_put_in_brackets(host, written):
    assert in_url(host) == written


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_a_loopback_address_only_loopback_names_are_answered(host):
    assert answered_hosts(host) == list(LOOPBACK)


@pytest.mark.parametrize(("host", "added"), [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "[2001:db8::7]")])
def test_an_address_of_its_own_is_answered_besides(host, added):
    assert answered_hosts(host) == [*LOOPBACK, added]


@pytest.mark.usefixtures("_machine")
@pytest.mark.parametrize(
    ("host", "own"),
    [("0.0.0.0", ["192.0.2.7", "198.51.100.7"]), ("::", ["[2001:db8::7]"])],  # noqa: S104 - nothing listens
)
def test_on_all_addresses_the_machine_is_answered_by_its_names_and_addresses(host, own):
    assert answered_hosts(host) == [*LOOPBACK, "box", "box.example.org", *own]


@pytest.mark.usefixtures("_machine")
def test_no_name_of_the_machine_becomes_a_pattern(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "*")
    monkeypatch.setattr("socket.getfqdn", lambda: ".org")

    assert answered_hosts("::") == [*LOOPBACK, "[2001:db8::7]"]


def test_the_machine_knows_its_own_addresses_even_when_no_resolver_knows_its_name(monkeypatch):
    def unknown(*_args: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr("socket.getaddrinfo", unknown)

    assert ipaddress.ip_address("127.0.0.1") in set(own_addresses())
