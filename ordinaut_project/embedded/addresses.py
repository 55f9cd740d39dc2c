"""Host names and addresses: how one is written in a URL, and which of them the web process answers to."""

import fcntl
import ipaddress
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
# Listening on all addresses of a family, and the address of that family by which this machine reaches itself.
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_SIOCGIFADDR = 0x8915  # Linux: an interface's IPv4 address, see netdevice(7)
_IPV6_TABLE = Path("/proc/net/if_inet6")


def in_url(host: str) -> str:
    """The host as URLs and `Host` headers have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def answered_hosts(host: str) -> list[str]:
    """What a web process that listens on `host` answers to: loopback names, and `host` or, for all addresses, the
    machine's own names and its addresses of that family. Never a pattern.
    """
    if host not in WILDCARDS:
        return list(dict.fromkeys((*LOOPBACK, in_url(host))))
    names = [name.lower() for name in (socket.gethostname(), socket.getfqdn())]
    version = 6 if host == "::" else 4
    addresses = sorted({address for address in own_addresses() if address.version == version}, key=int)
    written = [in_url(str(address)) for address in addresses]
    return list(dict.fromkeys((*LOOPBACK, *(name for name in names if _NAME.fullmatch(name)), *written)))


def own_addresses() -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The machine's addresses, some of them more than once: of its name, and on Linux of every interface."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        found = []  # a name that no resolver knows, as in many containers
    for *_, address in found:
        yield ipaddress.ip_address(str(address[0]).partition("%")[0])
    yield from _interface_ipv4()
    yield from _interface_ipv6()


def _interface_ipv4() -> Iterator[ipaddress.IPv4Address]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue  # an interface without an IPv4 address, or a kernel without this request
            yield ipaddress.IPv4Address(answer[20:24])


def _interface_ipv6() -> Iterator[ipaddress.IPv6Address]:
    if _IPV6_TABLE.exists():
        for line in _IPV6_TABLE.read_text(encoding="ascii").splitlines():
            yield ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
