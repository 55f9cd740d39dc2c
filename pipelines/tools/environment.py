"""The environment of programs that a worker starts: what they need to run at all, and what the operator names."""

import os

from pipelines import conf

# Everything else in the worker's environment (database address, keys) stays there.
_NEEDED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def clean_environment() -> dict[str, str]:
    """The variables that a started program may see: a few, and those of `ORDINAUT_TOOL_ENVIRONMENT`."""
    names = (*_NEEDED, *conf.tool_environment())
    return {name: os.environ[name] for name in names if name in os.environ}
