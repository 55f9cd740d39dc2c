"""Which network addresses a tool may connect to. Pure: no resolver, no socket, no settings.

Only addresses of the public internet pass. Everything else is refused by a named reason, after addresses that carry
another one inside (IPv4-mapped, NAT64) have been taken apart, since the inner one is what the packet reaches.
Source of the ranges: the IANA special-purpose address registries for IPv4 and IPv6.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED_V4 = [
    (ipaddress.IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
]
# Names for the ranges that people meet; what is not global unicast is refused below without being listed here.
_REFUSED_V6 = [
    (ipaddress.IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def refusal(address: str) -> str | None:
    """Why no connection may be made to `address` (loopback, private, ...); None where it is public.

    `address` is what a resolver gave: a literal, perhaps with an IPv6 zone. What is no address is refused.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "not an address"
    return _refusal_v4(parsed) if isinstance(parsed, ipaddress.IPv4Address) else _refusal_v6(parsed)


def _refusal_v4(address: ipaddress.IPv4Address) -> str | None:
    return next((reason for network, reason in _REFUSED_V4 if address in network), None)


def _refusal_v6(address: ipaddress.IPv6Address) -> str | None:
    if address.ipv4_mapped is not None:
        return _refusal_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _refusal_v4(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    named = next((reason for network, reason in _REFUSED_V6 if address in network), None)
    if named is None and address not in _GLOBAL_UNICAST:
        return "reserved"
    return named


@dataclass(frozen=True, slots=True)
class AllowList:
    """Targets that the operator opens although they are private: pairs of host (name or address) and port."""

    targets: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "AllowList":
        """Read entries such as `localhost:8099`, `10.0.0.5:443`, `[::1]:8080`. Raises ValueError naming the entry."""
        return cls(frozenset(_target(entry) for entry in entries))

    def opens(self, host: str, port: int) -> bool:
        return (canonical_host(host), port) in self.targets


def _target(entry: str) -> tuple[str, int]:
    host, separator, port = entry.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not separator or not host or (":" in host and not bracketed) or "/" in host or "*" in host:
        raise ValueError(f"{entry!r} is not of the form host:port")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{entry!r} has no port between 1 and 65535")
    return canonical_host(host[1:-1] if bracketed else host), int(port)


def canonical_host(host: str) -> str:
    """One spelling per host: addresses in their shortest form, names in lower case without the root's dot."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().rstrip(".")


def canonical_target(target: str) -> str:
    """`host` or `host:port`, the host as `canonical_host` spells it; an IPv6 address with a port is in brackets."""
    host, colon, port = target.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
        return f"{canonical_host(host.strip('[]'))}:{port}"
    return canonical_host(target.strip("[]"))
