#!/usr/bin/env python
"""Run Ordinaut's management commands; `python manage.py help` lists them."""

import os
import select
import sys

from ordinaut_project.env import EnvError
from scheduling.garbage import collect_seldom


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ordinaut_project.settings")
    collect_seldom()

    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except (EnvError, ImproperlyConfigured, OperationalError) as error:
        # What the operator can mend is told in a line; what leads to it is for those who ask.
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"manage.py: {_told(error)}")
    except BrokenPipeError:
        if not _nobody_reads():
            raise  # another pipe: of a server or a tool
        # Whoever read the output has seen enough (`| head`). What Python would still write at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a program that SIGPIPE ends


def _told(error: Exception) -> str:
    """What is wrong with the settings or the database, for an operator."""
    from django.db import OperationalError

    if isinstance(error, OperationalError):
        return f"the database refuses: {str(error).strip()}"
    if "settings.DATABASES is improperly configured" in str(error):
        return "DATABASE_URL is missing; set it to postgresql://user:password@host:port/name."
    return str(error)


def _nobody_reads() -> bool:
    """True where standard output is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # what is wrong with it is told without being asked for
    return bool(poll.poll(0))


if __name__ == "__main__":
    main()
