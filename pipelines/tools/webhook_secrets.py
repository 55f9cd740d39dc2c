"""The secrets that webhooks are signed with. Each belongs to one receiver: what is signed for one proves nothing to
another."""

from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from standardwebhooks import Webhook

from pipelines.tools.addresses import canonical_host, canonical_target

_PREFIX = "whsec_"
_SHORTEST = 24  # bytes; the standard asks for 24 to 64
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """By receiver, `host` or `host:port`. Several for one receiver sign side by side, so that one can be changed."""

    by_receiver: Mapping[str, Sequence[Webhook]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "WebhookSecrets":
        """Read entries such as `hooks.example.com=whsec_...`. Raises ValueError that names the entry by its number and
        receiver and never repeats the secret."""
        found: dict[str, list[Webhook]] = {}
        for number, entry in enumerate(entries, start=1):
            receiver, separator, secret = entry.strip().partition("=")
            if not separator or not receiver or "/" in receiver or "*" in receiver:
                raise ValueError(f"entry {number} is not of the form host=whsec_...")
            if not secret.startswith(_PREFIX):
                raise ValueError(f"the secret of {receiver} does not begin with {_PREFIX}")
            found.setdefault(canonical_target(receiver), []).append(_signer(receiver, secret))
        return cls(found)

    def of(self, host: str, port: int) -> Sequence[Webhook]:
        """Those of `host:port` where there are any, else those of `host`."""
        name = canonical_host(host)
        return self.by_receiver.get(f"{name}:{port}") or self.by_receiver.get(name) or ()


def _signer(receiver: str, secret: str) -> Webhook:
    try:
        length = len(b64decode(secret.removeprefix(_PREFIX), validate=True))
    except ValueError:
        raise ValueError(f"the secret of {receiver} is not base64 after {_PREFIX}") from None
    if not _SHORTEST <= length <= _LONGEST:
        raise ValueError(f"the secret of {receiver} has {length} bytes; {_SHORTEST} to {_LONGEST} are allowed")
    return Webhook(secret)
