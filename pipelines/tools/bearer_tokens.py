"""The bearer tokens that are shown to other hosts. Each belongs to one host: nobody else is sent it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipelines.tools.addresses import canonical_host, canonical_target


@dataclass(frozen=True, slots=True)
class BearerTokens:
    """By `host` or `host:port`."""

    by_host: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "BearerTokens":
        """Read entries such as `tools.example.com=abc`. Raises ValueError that names the entry by its number and host
        and never repeats the token."""
        found: dict[str, str] = {}
        for number, entry in enumerate(entries, start=1):
            host, separator, token = entry.strip().partition("=")
            if not separator or not host or "/" in host or "*" in host:
                raise ValueError(f"entry {number} is not of the form host=token")
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                raise ValueError(f"the token of {host} is empty, or has characters that no header can carry")
            found[canonical_target(host)] = token
        return cls(found)

    def of(self, host: str, port: int) -> str | None:
        """That of `host:port` where there is one, else that of `host`."""
        name = canonical_host(host)
        return self.by_host.get(f"{name}:{port}") or self.by_host.get(name)
